//! Which lines are one event: those with one name, each to another destination.
//!
//! A second line to the same destination begins a new event, so that a million events named alike
//! are a million rows. Of lines that were committed together, the first to each destination belong
//! together, the second to each, and so on: a request is logged by destination.

use std::collections::{HashMap, HashSet};

use model::{EventName, RunId, UnixMillis};

use crate::inspect::window::Line;
use crate::reader::DestinationId;

/// The lines of one event, as their numbers in what was grouped, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) lines: Vec<usize>,
}

/// What is known of a name so far.
struct Named {
    commit: (UnixMillis, RunId),
    /// The groups that lines of the commit are in.
    groups: Vec<usize>,
    /// For each destination: the first of these groups that the next line may join.
    next: HashMap<DestinationId, usize>,
}

/// Groups lines that come in the order of their ids. The groups come in the order of their first.
pub(crate) fn group(lines: &[&Line]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut members = HashSet::<(usize, DestinationId)>::new();
    let mut names = HashMap::<&EventName, Named>::new();
    for (number, line) in lines.iter().enumerate() {
        let Some(name) = &line.name else {
            groups.push(Group { lines: vec![number] });
            continue;
        };
        let commit = (line.id.time(), line.id.run());
        let known = names.entry(name).or_insert_with(|| Named {
            commit,
            groups: Vec::new(),
            next: HashMap::new(),
        });
        if known.commit != commit {
            // A later commit can go on with the latest event of this name, and with no other.
            let latest = known.groups.last().copied();
            *known = Named { commit, groups: latest.into_iter().collect(), next: HashMap::new() };
        }
        let destination = line.place.destination_id;
        let next = known.next.entry(destination).or_insert(0);
        let mut joined = None;
        while let Some(group) = known.groups.get(*next) {
            *next += 1;
            if members.insert((*group, destination)) {
                joined = groups.get_mut(*group);
                break;
            }
        }
        if let Some(group) = joined {
            group.lines.push(number);
        } else {
            members.insert((groups.len(), destination));
            known.groups.push(groups.len());
            *next = known.groups.len();
            groups.push(Group { lines: vec![number] });
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::row::DeliveryState;
    use crate::inspect::window::Place;
    use model::{Destination, EventId, Seq};
    use std::sync::Arc;

    /// Groups `(commit, name, destination)` lines; an empty name is none.
    fn grouped(lines: &[(u64, &str, &str)]) -> Vec<Vec<usize>> {
        let lines: Vec<Line> = (0..)
            .zip(lines)
            .map(|(seq, (commit, name, prefix))| {
                let destination = Destination::parse("bucket", prefix).unwrap();
                let destination_id = DestinationId::of(&destination);
                let state = DeliveryState::Logged;
                Line {
                    id: EventId::new(UnixMillis::new(*commit), RunId::from_bits(1), Seq::new(seq)),
                    name: EventName::new(name).ok(),
                    number: None,
                    bytes: None,
                    place: Arc::new(Place {
                        destination,
                        destination_id,
                        state,
                        key: None,
                        error: None,
                        mean_bytes: None,
                    }),
                }
            })
            .collect();
        let groups = group(&lines.iter().collect::<Vec<_>>());
        groups.into_iter().map(|group| group.lines).collect()
    }

    #[test]
    fn one_name_to_several_destinations_is_one_event() {
        assert_eq!(
            grouped(&[(1, "x", "a"), (1, "", "a"), (1, "y", "a"), (1, "x", "b"), (2, "x", "c")]),
            [vec![0, 3, 4], vec![1], vec![2]]
        );
    }

    #[test]
    fn the_same_destination_again_is_another_event() {
        assert_eq!(grouped(&[(1, "x", "a"), (1, "x", "a"), (2, "x", "a")]), [[0], [1], [2]]);
        assert_eq!(
            grouped(&[(1, "x", "a"), (1, "x", "b"), (2, "x", "a"), (2, "x", "b")]),
            [[0, 1], [2, 3]]
        );
    }

    #[test]
    fn a_request_that_is_logged_by_destination_is_put_together_again() {
        assert_eq!(
            grouped(&[
                (1, "x", "a"),
                (1, "x", "a"),
                (1, "x", "a"),
                (1, "x", "b"),
                (1, "x", "b"),
                (1, "x", "b")
            ]),
            [[0, 3], [1, 4], [2, 5]]
        );
    }

    #[test]
    fn a_million_lines_named_alike_take_no_time() {
        let mut lines = vec![(1, "x", "a"); 20_000];
        lines.extend(vec![(1, "x", "b"); 20_000]);
        let groups = grouped(&lines);
        assert_eq!(groups.len(), 20_000);
        assert!(groups.iter().all(|group| group.len() == 2));
    }
}
