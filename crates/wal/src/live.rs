//! What a running ingest tells `admin` of the minute that it writes, and how it is told to drain.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use model::{Bucket, Clock, Destination, EventId, EventName};
use serde::{Deserialize, Serialize};

use crate::control::{self, ControlServer};
use crate::error::{Error, Result};
use crate::inspect::NameFilter;
use crate::layout::{DataDir, RunName};
use crate::log::Shared;
use crate::reader::{Around, RunReader};
use crate::run::OpenRun;
use crate::usage::bytes_on_disk;

/// What the sockets of ingest processes begin with; the process id follows.
const SOCKET: &str = "ingest-";

/// How long an answer may take for which a whole minute is read, or committed and closed.
const WORK_PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    Summary,
    Run,
    Buckets,
    Events { payload: bool, filter: LiveFilter },
    Around(LiveAround),
    Drain,
    Progress,
}

/// Which events of the open minute are wanted: those next to an id.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiveAround {
    /// Their run: where another one is written by now, there are none.
    pub(crate) run: String,
    pub(crate) centre: EventId,
    /// So many before it, or some more, and so many from it on.
    pub(crate) before: usize,
    pub(crate) after: usize,
    pub(crate) name: Option<NameFilter>,
    /// A text in `bucket/prefix/`.
    pub(crate) destination: Option<String>,
    /// Whether the payload of the event `centre` is wanted as well.
    pub(crate) payload: bool,
}

/// Which events of the open minute are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveFilter {
    /// Only this event.
    pub id: Option<EventId>,
    /// Only events that their caller gave this name.
    pub name: Option<EventName>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// The open minute of a running ingest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveSummary {
    /// The name of its directory.
    pub run: String,
    /// How many destinations it has.
    pub destinations: u64,
    /// How many events it has.
    pub events: u64,
    /// Its bytes on disk.
    pub bytes: u64,
}

/// An event of the open minute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveEvent {
    /// Its id.
    pub id: EventId,
    /// The name that its caller gave it.
    pub name: Option<EventName>,
    /// Where it goes.
    pub destination: Destination,
    /// The bytes of its line, where it was asked for the events next to an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its line, where it was asked for. Every line is UTF-8: ingest takes nothing else.
    pub payload: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Event(LiveEvent),
    Error(String),
    /// The run that was asked for is not written any more.
    Gone,
    /// The answer was not cut.
    End,
}

/// The side of ingest.
pub(crate) struct LiveLog {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl LiveLog {
    pub(crate) fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>) -> Self {
        Self { shared, clock }
    }

    pub(crate) fn serve(self, data: &DataDir) -> Result<ControlServer> {
        let of = data.clone();
        let handler = move |line: &str, out: &mut dyn Write| self.answer(&of, line, out);
        ControlServer::start(data, &own_socket(), Arc::new(handler))
    }

    fn answer(&self, data: &DataDir, line: &str, out: &mut dyn Write) -> io::Result<()> {
        match serde_json::from_str(line)? {
            Request::Summary => {
                write_line(out, &self.shared.current().map(|run| summary(data, &run)))
            }
            Request::Run => {
                write_line(out, &self.shared.current().map(|run| run.name().to_string()))
            }
            Request::Buckets => {
                let buckets = self.shared.current().map(|run| buckets(&RunReader::live(run)));
                write_line(out, &buckets.unwrap_or_default())
            }
            Request::Events { payload, filter } => self.events(payload, &filter, out),
            Request::Around(around) => self.around(&around, out),
            Request::Drain => {
                tracing::info!(at = %self.clock.now(), "told to drain");
                write_line(out, &self.shared.drain_blocking())
            }
            Request::Progress => {
                self.shared.progress_blocking();
                write_line(out, &true)
            }
        }
    }

    fn events(&self, payload: bool, filter: &LiveFilter, out: &mut dyn Write) -> io::Result<()> {
        let Some(run) = self.shared.current() else { return write_line(out, &Line::End) };
        // An id tells its run: nothing has to be read to know that it is of another one.
        if filter.id.is_some_and(|id| id.run() != run.name().run) {
            return write_line(out, &Line::End);
        }
        let reader = RunReader::live(run);
        let mut left = filter.limit.unwrap_or(u64::MAX);
        for destination in reader.destinations() {
            let (id, destination) = match destination {
                Ok(destination) => destination,
                Err(damage) => return write_line(out, &Line::Error(damage.what)),
            };
            for record in reader.records(id) {
                let record = match record {
                    Ok(record) => record,
                    Err(damage) => return write_line(out, &Line::Error(damage.what)),
                };
                for event in record.iter().flatten() {
                    let wanted = filter.id.is_none_or(|id| id == event.id)
                        && filter.name.as_ref().is_none_or(|name| name.as_str() == event.name);
                    if !wanted {
                        continue;
                    }
                    if left == 0 {
                        return write_line(out, &Line::End);
                    }
                    left -= 1;
                    let line = String::from_utf8_lossy(event.payload);
                    write_line(
                        out,
                        &Line::Event(LiveEvent {
                            id: event.id,
                            name: event.event_name(),
                            destination: destination.clone(),
                            bytes: None,
                            payload: payload.then(|| line.into_owned()),
                        }),
                    )?;
                }
            }
        }
        write_line(out, &Line::End)
    }
}

impl LiveLog {
    fn around(&self, wanted: &LiveAround, out: &mut dyn Write) -> io::Result<()> {
        let run = self.shared.current().filter(|run| run.name().to_string() == wanted.run);
        let Some(run) = run else { return write_line(out, &Line::Gone) };
        let LiveAround { centre, before, after, payload, .. } = *wanted;
        let (name, destination) = (wanted.name.as_ref(), wanted.destination.as_deref());
        let around = Around { centre, before, after, name, destination };
        let (mut written, mut failure) = (Ok(()), None);
        RunReader::live(run).around(
            &around,
            &mut |destination, event| {
                let has_payload = payload && event.id == centre;
                let line = || String::from_utf8_lossy(event.payload).into_owned();
                let line = Line::Event(LiveEvent {
                    id: event.id,
                    name: event.event_name(),
                    destination: destination.clone(),
                    bytes: Some(event.payload.len() as u64),
                    payload: has_payload.then(line),
                });
                if written.is_ok() {
                    written = write_line(out, &line);
                }
            },
            &mut |damage| failure = failure.take().or(Some(damage.what)),
        );
        written?;
        write_line(out, &failure.map_or(Line::End, Line::Error))
    }
}

/// The name of this process's own socket.
fn own_socket() -> String {
    format!("{SOCKET}{}", std::process::id())
}

fn summary(data: &DataDir, run: &OpenRun) -> LiveSummary {
    let (events, destinations) = run.counts();
    let bytes = bytes_on_disk(&data.run_dir(run.name()));
    LiveSummary { run: run.name().to_string(), destinations, events, bytes }
}

/// The buckets of a run, as far as they can be read.
pub(crate) fn buckets(reader: &RunReader) -> BTreeSet<Bucket> {
    reader.destinations().flatten().map(|(_, destination)| destination.bucket().clone()).collect()
}

fn write_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

fn call_each(
    data: &DataDir,
    request: &Request,
    mut each: impl FnMut(&str, &str) -> Result<()>,
) -> Result<usize> {
    let mut answered = 0;
    let patience = match request {
        Request::Summary | Request::Run | Request::Progress => control::LOOK_PATIENCE,
        Request::Buckets | Request::Events { .. } | Request::Around(_) | Request::Drain => {
            WORK_PATIENCE
        }
    };
    for socket in control::sockets(data, SOCKET) {
        let Some(mut answer) = control::call(data, &socket, request, patience)? else { continue };
        answered += 1;
        let mut line = String::new();
        loop {
            line.clear();
            if answer.read_line(&mut line).map_err(control::unread_line(data, &socket))? == 0 {
                break;
            }
            each(&socket, line.trim_end())?;
        }
    }
    Ok(answered)
}

fn parse<'l, T: Deserialize<'l>>(data: &DataDir, socket: &str, line: &'l str) -> Result<T> {
    serde_json::from_str(line).map_err(control::unread(data, socket))
}

/// The open minutes of the ingest processes that run on this data directory.
pub fn live_summaries(data: &DataDir) -> Result<Vec<LiveSummary>> {
    let mut summaries = Vec::new();
    call_each(data, &Request::Summary, |socket, line| {
        summaries.extend(parse::<Option<LiveSummary>>(data, socket, line)?);
        Ok(())
    })?;
    Ok(summaries)
}

/// The runs that ingest processes write on this data directory, without a look into them.
pub(crate) fn live_runs(data: &DataDir) -> Result<Vec<RunName>> {
    let mut runs = Vec::new();
    call_each(data, &Request::Run, |socket, line| {
        let name = parse::<Option<String>>(data, socket, line)?;
        runs.extend(name.as_deref().and_then(RunName::parse));
        Ok(())
    })?;
    Ok(runs)
}

/// How many ingest processes run on this data directory. One that does not answer is an error.
pub fn live_ingests(data: &DataDir) -> Result<usize> {
    call_each(data, &Request::Run, |_, _| Ok(()))
}

/// The buckets of the open minutes.
pub(crate) fn live_buckets(data: &DataDir) -> Result<BTreeSet<Bucket>> {
    // One that is stopped or hung is told from one that has much to read.
    live_runs(data)?;
    let mut buckets = BTreeSet::new();
    call_each(data, &Request::Buckets, |socket, line| {
        buckets.extend(parse::<Vec<Bucket>>(data, socket, line)?);
        Ok(())
    })?;
    Ok(buckets)
}

/// Calls `each` with the events of the open minutes, each process's by destination in their order.
pub fn live_events(
    data: &DataDir,
    filter: &LiveFilter,
    payload: bool,
    mut each: impl FnMut(LiveEvent),
) -> Result<()> {
    // One that is stopped or hung is told from one that has much to read.
    live_runs(data)?;
    let request = Request::Events { payload, filter: filter.clone() };
    let mut whole = 0;
    let answered = call_each(data, &request, |socket, line| {
        match parse(data, socket, line)? {
            Line::Event(event) => each(event),
            Line::End | Line::Gone => whole += 1,
            Line::Error(message) => {
                let path = data.root().join(format!("{socket}.sock"));
                return Err(Error::Control { path, message });
            }
        }
        Ok(())
    })?;
    if whole == answered {
        Ok(())
    } else {
        let message = "an ingest process went away in the middle of its answer".to_owned();
        Err(Error::Control { path: data.root().to_owned(), message })
    }
}

/// Calls `each` with events of an open minute that are next to an id, in no order; `false` where no
/// ingest process writes its run any more.
pub(crate) fn live_around(
    data: &DataDir,
    wanted: LiveAround,
    mut each: impl FnMut(LiveEvent),
) -> Result<bool> {
    let mut found = false;
    call_each(data, &Request::Around(wanted), |socket, line| {
        match parse(data, socket, line)? {
            Line::Event(event) => each(event),
            Line::End => found = true,
            Line::Gone => {}
            Line::Error(message) => {
                let path = data.root().join(format!("{socket}.sock"));
                return Err(Error::Control { path, message });
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Tells every ingest process to take no more events and to close its minute; returns how many
/// have done so.
pub fn drain_ingest(data: &DataDir) -> Result<usize> {
    // One that is stopped or hung is told from one that has much to commit.
    live_runs(data)?;
    let mut drained = 0;
    call_each(data, &Request::Drain, |socket, line| {
        drained += usize::from(parse::<bool>(data, socket, line)?);
        Ok(())
    })?;
    Ok(drained)
}

/// Waits until the writer of this process's own log has come round to a request that is made now. An
/// error if it has not within `patience`, or if there is no log.
pub fn own_log_progresses(data: &DataDir, patience: Duration) -> Result<()> {
    let socket = own_socket();
    let answer = control::call(data, &socket, &Request::Progress, patience)?;
    control::answered(data, &socket, answer)
}
