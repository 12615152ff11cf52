//! The strip of minutes: one column each, the newest at the right.

use model::UnixMillis;
use ratatui::text::{Line, Span};
use wal::inspect::{MinuteLook, MinuteStage};

use crate::human;
use crate::top::ink::{Palette, Tone};

const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// In the order of a minute's life; what asks for a person at the end.
const STAGES: [MinuteStage; 6] = [
    MinuteStage::Open,
    MinuteStage::Finished,
    MinuteStage::Sealed,
    MinuteStage::Delivered,
    MinuteStage::Parked,
    MinuteStage::Quarantined,
];

/// A bar a minute, as high as it has events, and how many minutes are how far.
pub(crate) fn strip(
    minutes: &[MinuteLook],
    columns: usize,
    palette: Palette,
) -> [Line<'static>; 2] {
    let in_sight = || minutes.iter().take(columns.saturating_sub(2)).rev();
    let most = in_sight().filter_map(|look| look.events).max().unwrap_or(1).max(1);
    let bar = |look: &MinuteLook| {
        let text = if palette.has_colour() {
            bar(look.events.unwrap_or(most), most)
        } else {
            letter(look.stage)
        };
        palette.span(text, look.stage.into())
    };
    let bars = std::iter::once(palette.span(" ", Tone::Plain)).chain(in_sight().map(bar));
    let mut legend = vec![palette.span(" ", Tone::Plain)];
    match (in_sight().next(), in_sight().next_back()) {
        (Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|look| clock(look.minute.start()));
            legend.push(palette.span(&format!("{first} … {last}"), Tone::Muted));
        }
        _ => legend.push(palette.span("No minutes yet: the first event begins one.", Tone::Muted)),
    }
    legend.extend(STAGES.into_iter().filter_map(|stage| count(in_sight(), stage, palette)));
    [bars.collect(), Line::from(legend)]
}

fn count<'m>(
    minutes: impl Iterator<Item = &'m MinuteLook>,
    stage: MinuteStage,
    palette: Palette,
) -> Option<Span<'static>> {
    let count = minutes.filter(|look| look.stage == stage).count();
    let text = format!("  {count} {}", stage_name(stage));
    (count > 0).then(|| palette.span(&text, stage.into()))
}

/// The square root keeps a quiet minute in sight beside a busy one.
fn bar(events: u64, most: u64) -> &'static str {
    let eighths = (1..BARS.len() as u64).filter(|step| events * 64 > most * step * step).count();
    BARS.get(eighths).copied().unwrap_or("█")
}

fn letter(stage: MinuteStage) -> &'static str {
    match stage {
        MinuteStage::Open => "o",
        MinuteStage::Finished => "f",
        MinuteStage::Sealed => "s",
        MinuteStage::Delivered => "d",
        MinuteStage::Parked => "P",
        MinuteStage::Quarantined => "Q",
    }
}

/// The stage in one word, as in JSON.
pub(crate) fn stage_name(stage: MinuteStage) -> &'static str {
    match stage {
        MinuteStage::Open => "open",
        MinuteStage::Finished => "finished",
        MinuteStage::Sealed => "sealed",
        MinuteStage::Delivered => "delivered",
        MinuteStage::Parked => "parked",
        MinuteStage::Quarantined => "quarantined",
    }
}

/// A time of day, as in `10:15:00`.
pub(crate) fn clock(time: UnixMillis) -> String {
    human::second(time).split(' ').next_back().unwrap_or_default().to_owned()
}

/// How far behind a minute is: its lag once it is delivered; until then how long it has been over,
/// with `…` behind it, as that still grows.
pub(crate) fn lag(look: &MinuteLook, now: UnixMillis) -> String {
    match (look.stage, look.lag_ms, late_ms(look, now)) {
        (MinuteStage::Delivered, Some(lag), _) => human::span(lag),
        (MinuteStage::Delivered, None, _) | (_, _, 0) => "–".to_owned(),
        (_, _, late) => format!("{} …", human::span(late)),
    }
}

/// How long ago its end was.
pub(crate) fn late_ms(look: &MinuteLook, now: UnixMillis) -> u64 {
    u64::try_from(now.since(look.minute.end()).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_the_square_root_of_its_events() {
        for (events, shown) in [(0, "▁"), (1, "▁"), (30, "▅"), (100, "█")] {
            assert_eq!(bar(events, 100), shown, "{events}");
        }
    }
}
