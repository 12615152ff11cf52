//! Objects above 16 MiB go by multipart upload, whatever happens on the way.

use tests::{Fault, Objects, Random, Rule, Setup, Site, wait_for};

const MIB: usize = 1024 * 1024;

/// Lines that hardly compress, of 500,000 characters each.
fn lines(megabytes: usize) -> Vec<String> {
    let mut random = Random::new(0x6d69_6e75_7465);
    let mut line = || {
        let mut text = String::with_capacity(500_000);
        while text.len() < 500_000 {
            let mut number = random.number();
            for _ in 0..9 {
                // 94 printable characters: 6.55 bits in each byte.
                text.push(char::from(b'!' + u8::try_from(number % 94).unwrap()));
                number /= 94;
            }
        }
        text
    };
    (0..megabytes * 2).map(|_| line()).collect()
}

/// A site with one finished minute, and its lines.
fn site_with(megabytes: usize) -> (Site, Vec<String>) {
    // The bytes are in question here, not their size: the fastest level does.
    let flusher = "gzip_level = 1\n".to_owned();
    let site = Site::with(&Setup { flusher, ..Setup::long_minute() });
    let lines = lines(megabytes);
    let ingest = site.ingest();
    for request in lines.chunks(20) {
        let answer =
            ingest.client().post_bulk("my-bucket?prefix=p", "text/plain", request.join("\n"));
        assert_eq!(answer.json()["accepted"], request.len());
    }
    assert_eq!(ingest.terminate(), Some(0));
    (site, lines)
}

/// Everything stands in one object of several parts, and nothing is left over.
fn assert_delivered(site: &Site, lines: &[String]) {
    assert!(site.log_rows().is_empty());
    let objects = Objects::read(&site.s3);
    let [object] = &objects.0[..] else { panic!("{} objects", objects.0.len()) };
    assert!(object.lines == lines, "the lines are not what was sent");
    assert!(object.size > 16 * MIB && object.parts >= 2, "{} in {}", object.size, object.parts);
    assert_eq!(site.s3.unfinished_uploads(), 0);
    assert!(site.s3.calls("PutObject").is_empty());
}

#[test]
fn a_minute_of_40_mb_is_one_object() {
    let (site, lines) = site_with(50);
    site.flush_once().exits(0);
    assert_delivered(&site, &lines);
    assert!(Objects::read(&site.s3).0[0].size > 40_000_000);
}

#[test]
fn a_completion_whose_answer_is_lost_is_found() {
    let (site, lines) = site_with(22);
    let lost = Rule::new(Fault::LoseAnswer).on("CompleteMultipartUpload").times(1);
    let lost = site.s3.add(lost);
    // Nobody may look: it has to show in the next completion.
    site.s3.add(Rule::new(Fault::Refuse(403, "AccessDenied")).on("HeadObject"));
    site.flush_once().exits(0);
    assert_eq!(site.s3.hits(lost), 1);
    assert_delivered(&site, &lines);
}

#[test]
fn a_part_that_is_refused_is_sent_again() {
    let (site, lines) = site_with(22);
    let refuse = |times| Rule::new(Fault::Refuse(503, "SlowDown")).on("UploadPart").times(times);
    let drop = site.s3.add(Rule::new(Fault::Drop).on("UploadPart").times(1));
    let refuse = site.s3.add(refuse(8));
    site.flush_once().exits(0);
    assert_eq!((site.s3.hits(drop), site.s3.hits(refuse)), (1, 8));
    assert_delivered(&site, &lines);
}

#[test]
fn what_a_killed_flusher_left_behind_is_aborted() {
    let (site, lines) = site_with(22);
    site.flush_once_without_s3().exits(75);
    for _ in 0..3 {
        let hang = site.s3.add(Rule::new(Fault::Hang).on("UploadPart"));
        let flusher = site.flusher();
        wait_for("parts on their way", || site.s3.hits(hang) > 0);
        assert_eq!(site.s3.unfinished_uploads(), 1, "the one before was aborted");
        flusher.kill();
        site.s3.mend(hang);
    }
    let _flusher = site.flusher();
    site.wait_until_drained();
    assert_delivered(&site, &lines);
}
