//! The lines of one minute, from wherever they are, newest first, into a window.

use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use model::{Destination, EventId, EventName, Minute, RunId};

use crate::error::{Error, Result};
use crate::frame::FramePosition;
use crate::hold::hold_beside_readers;
use crate::index::IndexReader;
use crate::inspect::NameFilter;
use crate::inspect::census::MinuteDirs;
use crate::inspect::parts::PartLook;
use crate::inspect::run::{Approach, approach};
use crate::inspect::stream::Stream;
use crate::inspect::window::{Place, Window};
use crate::layout::{PartName, RunName};
use crate::live::{LiveAround, live_around};
use crate::reader::{Around, EventRef, RunReader};

/// Reads minutes, the newest one first.
#[derive(Debug)]
pub(crate) struct StreamScan<'s> {
    of: &'s Stream,
    /// Lines above are not wanted.
    top: EventId,
    pub(crate) name: Option<&'s NameFilter>,
    /// A text in `bucket/prefix/`.
    pub(crate) destination: Option<&'s str>,
    pub(crate) window: Window,
    pub(crate) warnings: BTreeSet<String>,
}

/// An object whose chunks are read from the last one down.
struct Source {
    part: usize,
    number: usize,
    /// What its lines share, once one of them is read.
    place: Option<Arc<Place>>,
    chunks: Arc<[FramePosition]>,
    /// How many of the chunks are still to be read.
    left: usize,
}

impl<'s> StreamScan<'s> {
    /// A scan of lines up to `top` into a window.
    pub(crate) fn new(of: &'s Stream, top: EventId, window: Window) -> Self {
        Self { of, top, name: None, destination: None, window, warnings: BTreeSet::new() }
    }

    /// Reads a minute. What cannot be read becomes a warning.
    pub(crate) fn minute(&mut self, minute: Minute, dirs: &MinuteDirs) {
        let (mut sealed, mut parts) = (BTreeSet::new(), Vec::new());
        for name in &dirs.parts {
            self.open(*name, &mut parts, &mut sealed);
        }
        let runs: Vec<RunName> =
            dirs.runs.iter().copied().filter(|run| !sealed.contains(&run.run)).collect();
        if !runs.is_empty() {
            let (live, silence) = self.of.live();
            for run in runs {
                if live.contains(&run) && self.live(run) {
                    continue;
                }
                // It is not known whose it is: nobody who does not answer is waited for.
                if let Some(silence) = &silence
                    && hold_beside_readers(&self.of.data.run_dir(run)).is_err_and(|it| it.is_busy())
                {
                    self.warnings.insert(silence.clone());
                } else {
                    self.run(run, &mut parts, &mut sealed);
                }
            }
        }
        if let Err(error) = self.objects(&mut parts) {
            let minute = minute.start();
            self.warnings.insert(format!("the minute of {minute}: {error}"));
        }
    }

    fn open(
        &mut self,
        name: PartName,
        parts: &mut Vec<(PartLook, IndexReader)>,
        sealed: &mut BTreeSet<RunId>,
    ) {
        match self.of.parts.open(&self.of.data, name) {
            Ok(Some((look, index))) => {
                sealed.extend(&look.table.head.runs);
                parts.push((look, index));
            }
            Ok(None) => {}
            Err(error) => {
                self.warnings.insert(error.to_string());
            }
        }
    }

    /// Whether a destination is wanted.
    fn wants(&self, destination: &Destination) -> bool {
        self.destination.is_none_or(|text| destination.to_string().contains(text))
    }

    /// Reads the chunks of all objects side by side, the newest one first, until no line of those
    /// that are left has a place in the window.
    fn objects(&mut self, parts: &mut [(PartLook, IndexReader)]) -> Result<()> {
        let (mut sources, mut heap) = (Vec::new(), BinaryHeap::new());
        for (part, (look, index)) in parts.iter_mut().enumerate() {
            for (number, object) in look.table.objects.iter().enumerate() {
                let bound = object.last.min(self.top);
                if object.first > self.top
                    || self.window.is_full_above(bound)
                    || !self.wants(&object.destination)
                {
                    continue;
                }
                let chunks = look.table.chunks_of(number, index)?;
                let left = if object.last > self.top {
                    self.of.parts.chunks_up_to(look, index, &chunks, self.top)?
                } else {
                    chunks.len()
                };
                heap.push((bound, sources.len()));
                sources.push(Source { part, number, place: None, chunks, left });
            }
        }
        while let Some((bound, number)) = heap.pop() {
            if self.window.is_full_above(bound) {
                break;
            }
            let Some(source) = sources.get_mut(number) else { break };
            let Some((look, index)) = parts.get_mut(source.part) else { break };
            if let Some(bound) = self.chunk(source, look, index, bound)? {
                heap.push((bound, number));
            }
        }
        Ok(())
    }

    /// Reads the next chunk of an object; returns what the lines of those before it are below of.
    fn chunk(
        &mut self,
        source: &mut Source,
        look: &PartLook,
        index: &mut IndexReader,
        bound: EventId,
    ) -> Result<Option<EventId>> {
        let Some(left) = source.left.checked_sub(1) else { return Ok(None) };
        source.left = left;
        let Some(at) = source.chunks.get(left).copied() else { return Ok(None) };
        let chunk = if let Some(name) = self.name {
            match index.chunk(at, |bytes| name.may_be_in(bytes))? {
                Some(chunk) => Arc::new(chunk),
                None => return Ok(Some(bound)),
            }
        } else {
            self.of.parts.chunk(look, index, at)?
        };
        let (window, name) = (&mut self.window, self.name);
        let number = source.number;
        let place = source.place.get_or_insert_with(|| Arc::new(place_of(look, number)));
        let mut has_more = true;
        chunk.lines_down(&look.table.head, self.top, |line| {
            has_more = !window.is_full_above(line.id);
            let text = line.name.as_ref().map(EventName::as_str);
            if name.is_none_or(|name| text.is_some_and(|text| name.fits(text))) {
                window.offer(line.id, text, Some(line.line), place);
            }
            has_more
        });
        Ok(has_more.then(|| chunk.first_id(&look.table.head).unwrap_or(bound).min(bound)))
    }

    /// Reads a run that ingest writes; `false` where it does not any more.
    fn live(&mut self, run: RunName) -> bool {
        let around = LiveAround {
            run: run.to_string(),
            centre: self.window.centre(),
            // One more than there is room for tells that there are more.
            before: self.window.capacity().saturating_add(1),
            after: self.window.capacity(),
            name: self.name.cloned(),
            destination: self.destination.map(str::to_owned),
            payload: false,
        };
        let mut events = Vec::new();
        match live_around(&self.of.data, around, |event| events.push(event)) {
            Ok(true) => {
                for event in events {
                    let name = event.name.as_ref().map(EventName::as_str);
                    self.logged(&event.destination, event.id, name, event.bytes);
                }
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.warnings.insert(error.to_string());
                true
            }
        }
    }

    /// Reads a run that nobody writes, or the part that it has become.
    fn run(
        &mut self,
        run: RunName,
        parts: &mut Vec<(PartLook, IndexReader)>,
        sealed: &mut BTreeSet<RunId>,
    ) {
        match copy_of(self.of, run) {
            Ok(Ok(copy)) => self.copy(&copy),
            Ok(Err(Some(part))) if !sealed.contains(&run.run) => self.open(part, parts, sealed),
            Ok(Err(_)) => {}
            Err(error) => {
                self.warnings.insert(error.to_string());
            }
        }
    }

    fn copy(&mut self, copy: &RunReader) {
        let around = Around {
            centre: self.window.centre(),
            before: self.window.capacity().saturating_add(1),
            after: self.window.capacity(),
            name: self.name,
            destination: self.destination,
        };
        let mut warnings = BTreeSet::new();
        copy.around(
            &around,
            &mut |destination, event: &EventRef<'_>| {
                let name = (!event.name.is_empty()).then_some(event.name);
                let bytes = Some(event.payload.len() as u64);
                self.logged(destination, event.id, name, bytes);
            },
            &mut |damage| {
                warnings.insert(format!("run {}: damaged: {}", copy.name(), damage.what));
            },
        );
        self.warnings.append(&mut warnings);
    }

    fn logged(
        &mut self,
        destination: &Destination,
        id: EventId,
        name: Option<&str>,
        bytes: Option<u64>,
    ) {
        if id > self.top || !self.wants(destination) {
            return;
        }
        let place = Place::logged(destination);
        self.window.offer_sized(id, name, None, bytes, &Arc::new(place));
    }
}

/// What all lines of an object share.
pub(crate) fn place_of(look: &PartLook, number: usize) -> Place {
    let object = look.table.objects.get(number).expect("it is one of the part's");
    let (state, error) = look.state_of(number);
    Place {
        destination_id: object.destination_id,
        destination: object.destination.clone(),
        state,
        key: Some(object.key.clone()),
        error: error.map(str::to_owned),
        mean_bytes: Some(object.mean_bytes()),
    }
}

/// The copy of a run, or the part that it has become; nothing where it is gone or still written.
pub(crate) fn copy_of(
    of: &Stream,
    run: RunName,
) -> Result<Result<Arc<RunReader>, Option<PartName>>> {
    let mut instead = None;
    let copy = of.copies.get_or(&run, || match approach(&of.data, run) {
        Ok(Approach::Copy(reader)) => Ok((*reader, 1)),
        Ok(Approach::Sealed(part)) => {
            instead = Some(part);
            Err(None)
        }
        Ok(Approach::Live | Approach::Gone) => Err(None),
        Err(error) => Err(Some(error)),
    });
    match copy {
        Ok(copy) => Ok(Ok(copy)),
        Err(None) => Ok(Err(instead)),
        Err(Some(error)) => Err::<_, Error>(error),
    }
}
