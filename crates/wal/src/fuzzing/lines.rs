//! Lines of JSON on the control sockets.

use crate::live::{Line, LiveSummary, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The input is a line. As whatever it is accepted, it is written as something that is read as
/// the same.
pub fn control(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    same::<Request>(line);
    same::<Line>(line);
    same::<Option<LiveSummary>>(line);
}

fn same<T: Serialize + DeserializeOwned>(line: &str) {
    let Ok(value) = serde_json::from_str::<T>(line) else { return };
    let written = serde_json::to_string(&value).expect("it was read as JSON");
    assert!(!written.contains('\n'), "{written} is one line");
    let again: T = serde_json::from_str(&written).expect("it was just written");
    assert_eq!(serde_json::to_string(&again).expect("it was written before"), written);
}
