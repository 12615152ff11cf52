//! What the inspector tells of an event.

use model::{Bucket, EventId, EventName, ObjectKey, Prefix, UnixMillis};
use serde::{Deserialize, Serialize};

/// How far an event has come on its way to one destination. Later states are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// In the log of its minute.
    Logged,
    /// In an object whose bytes and key are fixed.
    Sealed,
    /// S3 refuses the object for a reason that only a person can mend.
    Parked,
    /// The bytes of its object are damaged: kept, never sent.
    Quarantined,
    /// In S3.
    Delivered,
}

impl DeliveryState {
    /// The state in one word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logged => "logged",
            Self::Sealed => "sealed",
            Self::Parked => "parked",
            Self::Quarantined => "quarantined",
            Self::Delivered => "delivered",
        }
    }
}

/// How many destinations of an event have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dest {
    /// Those whose object is in S3.
    pub delivered: u32,
    /// All of them.
    pub total: u32,
}

/// An event on its way to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id: each destination has one of its own.
    pub id: EventId,
    /// The bucket.
    pub bucket: Bucket,
    /// The prefix.
    pub prefix: Prefix,
    /// How far it has come.
    pub state: DeliveryState,
    /// The key of its object, from the seal on.
    pub key: Option<ObjectKey>,
    /// Its line in the object, from 1, from the seal on.
    pub line: Option<u64>,
    /// Why the object is not in S3 yet, as far as it was tried.
    pub error: Option<String>,
}

/// One event and what became of it. What a caller sent to several destinations under one name is
/// one event with several deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// The id of its first delivery, or the one that was asked for.
    pub id: EventId,
    /// The name that its caller gave it.
    pub event: Option<EventName>,
    /// When the event with this id was accepted.
    pub accepted_at: UnixMillis,
    /// How many destinations have it.
    pub dest: Dest,
    /// Each destination, in the order of the ids.
    pub deliveries: Vec<Delivery>,
}

impl EventRow {
    /// A row from its deliveries, which are one at least.
    pub(crate) fn new(id: EventId, event: Option<EventName>, deliveries: Vec<Delivery>) -> Self {
        let delivered = deliveries.iter().filter(|it| it.state == DeliveryState::Delivered).count();
        let dest = Dest {
            delivered: u32::try_from(delivered).unwrap_or(u32::MAX),
            total: u32::try_from(deliveries.len()).unwrap_or(u32::MAX),
        };
        Self { id, event, accepted_at: id.time(), dest, deliveries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{RunId, Seq};

    #[test]
    fn reads_in_json_as_the_contract_says() {
        let id = EventId::new(UnixMillis::new(1_795_342_500_123), RunId::from_bits(1), Seq::new(2));
        let delivery = Delivery {
            id,
            bucket: Bucket::new("bucket").unwrap(),
            prefix: Prefix::new("p/").unwrap(),
            state: DeliveryState::Logged,
            key: None,
            line: None,
            error: None,
        };
        let row = EventRow::new(id, EventName::new("n").ok(), vec![delivery]);
        let json = serde_json::json!({
            "id": id.to_string(),
            "event": "n",
            "accepted_at": "2026-11-22T10:15:00.123Z",
            "dest": {"delivered": 0, "total": 1},
            "deliveries": [{
                "id": id.to_string(), "bucket": "bucket", "prefix": "p", "state": "logged",
                "key": null, "line": null, "error": null,
            }],
        });
        assert_eq!(serde_json::to_value(&row).unwrap(), json);
    }

    #[test]
    fn states_are_one_word_and_in_order() {
        use DeliveryState::{Delivered, Logged, Parked, Quarantined, Sealed};
        let states = [Logged, Sealed, Parked, Quarantined, Delivered];
        assert!(states.is_sorted());
        for state in states {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
