//! Records of a run's database.

use crate::batch::Identified;
use crate::codec::{self, CHECKSUM_BYTES};
use crate::fuzzing::{take, take_byte, take_index};
use crate::identity::{self, IdentifiedPlace};
use crate::packing::{self, Packer};
use crate::record::{Key, decode_definition, decode_events, encode_definition, encode_events};
use crate::shared::{self, Entries, SharedHead, SharedKey};

/// The input is a key and what stands behind the checksum of a value. What is accepted is written
/// as it was read; a changed byte, and the value under another key, are noticed.
pub fn record(mut data: &[u8]) {
    let at = take_index(&mut data, 1 << 16);
    let flip = take_byte(&mut data).max(1);
    let length = usize::from(take_byte(&mut data) % 30);
    let key = take(&mut data, length);
    match Key::parse(key) {
        Some(Key::Definition(destination)) => assert_eq!(destination.definition_key(), key),
        Some(Key::Fence { destination, place }) => assert_eq!(destination.fence_key(place), key),
        Some(Key::Events { destination, place, first, slice }) => {
            assert_eq!(destination.events_key(place, first, slice), key);
        }
        None => {}
    }
    match SharedKey::parse(key) {
        Some(SharedKey::Record(place, first)) => assert_eq!(shared::shared_key(place, first), key),
        Some(SharedKey::Fence(place)) => assert_eq!(shared::fence_key(place), key),
        None => {}
    }
    let value = [&codec::checksum(&[key, data])[..], data].concat();
    if let Ok((head, frames)) = decode_events(key, &value) {
        let again = encode_events(key, &head, &[frames]);
        assert_eq!(decode_events(key, &again).expect("it was just written"), (head, frames));
        events(frames);
        packed(frames, head.unpacked);
    }
    if let Ok((head, stored)) = shared::decode_head(key, &value) {
        entries(&head, stored);
    }
    if let Ok(destination) = decode_definition(key, &value) {
        let again = encode_definition(key, &destination);
        assert_eq!(decode_definition(key, &again).expect("it was just written"), destination);
    }
    if let Ok(places) = identity::decode(key, &value) {
        identities(&places.collect::<Vec<_>>());
    }
    noticed(key, value, at, flip);
}

/// The places of a record are written as they were read. All of them have one time.
fn identities(places: &[IdentifiedPlace]) {
    let Some(time) = places.first().map(|place| place.time) else { return };
    let identified = |place: &IdentifiedPlace| {
        let IdentifiedPlace { identity, number, first, events, .. } = *place;
        (Identified { identity, group: 0, number, offset: 0, events }, first.get())
    };
    let identified: Vec<_> = places.iter().map(identified).collect();
    let records = identity::encode(7, time, &identified);
    let again = records.flat_map(|(key, value)| {
        identity::decode(&key, &value).expect("it was just written").collect::<Vec<_>>()
    });
    assert_eq!(again.collect::<Vec<_>>(), places);
}

/// Packed events are within the length that the head says, and pack again to as much.
fn packed(frames: &[u8], length: u32) {
    let Ok(unpacked) = packing::unpack(frames, length) else { return };
    assert_eq!(u32::try_from(unpacked.len()), Ok(length));
    if let Some(again) = Packer::new().pack(&unpacked) {
        assert_eq!(packing::unpack(&again, length).expect("it was just packed"), unpacked);
    }
    events(&unpacked);
}

/// Entries of a shared record are within its bytes, and are written as they were read.
fn entries(head: &SharedHead, stored: &[u8]) {
    let mut rest = stored;
    while let Ok((entry, behind)) = shared::decode_entry(rest) {
        assert!(entry.frames.len() + behind.len() < rest.len(), "heads take bytes");
        let mut again = Entries::default();
        again.push(entry.destination, entry.events, entry.before, [entry.frames].into_iter());
        let value = again.encode(b"k", head.time());
        let (_, again) = shared::decode_head(b"k", &value).expect("it was just written");
        assert_eq!(shared::decode_entry(again).expect("it was just written"), (entry, &b""[..]));
        events(entry.frames);
        rest = behind;
    }
}

/// Events one after the other: each is within the bytes, and is written as it was read.
fn events(mut frames: &[u8]) {
    while let Ok((name, payload, rest)) = codec::decode_event(frames) {
        assert!(name.len() + payload.len() + rest.len() < frames.len(), "lengths take bytes");
        let mut again = Vec::new();
        codec::encode_event(name, payload, &mut again);
        let (name_again, payload_again, nothing) =
            codec::decode_event(&again).expect("it was just written");
        assert_eq!((name_again, payload_again, nothing), (name, payload, &b""[..]));
        frames = rest;
    }
}

fn noticed(key: &[u8], value: Vec<u8>, at: usize, flip: u8) {
    let other = [key, b"\0"].concat();
    assert!(decode_events(&other, &value).is_err(), "a value under another key");
    assert!(identity::decode(&other, &value).is_err(), "a value under another key");
    assert!(shared::decode_head(&other, &value).is_err(), "a value under another key");
    let mut changed = value;
    let at = at % changed.len();
    *changed.get_mut(at).expect("it is below the length") ^= flip;
    assert!(decode_events(key, &changed).is_err(), "byte {at} of {}", changed.len());
    assert!(decode_definition(key, &changed).is_err(), "byte {at} of {}", changed.len());
    assert!(identity::decode(key, &changed).is_err(), "byte {at} of {}", changed.len());
    assert!(shared::decode_head(key, &changed).is_err(), "byte {at} of {}", changed.len());
    changed.truncate(at);
    assert!(decode_events(key, &changed).is_err(), "cut to {at}");
    assert!(changed.len() >= CHECKSUM_BYTES || decode_definition(key, &changed).is_err());
}
