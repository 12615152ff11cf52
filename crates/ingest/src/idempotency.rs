//! Requests and events that are sent again under the same key, and get the first answer.
//!
//! What is here lives as long as the process, in bounded memory. What a restart or the bound makes
//! forget is accepted again, under the same identity, and the flusher leaves it out of the seal.

mod key;
mod request;
mod table;

pub(crate) use key::{Content, EventKey, KeyHash, Scope, check_id, request_key};
pub(crate) use request::{Each, MAX_IDS};
pub(crate) use table::{Claim, Claimed, Table};
