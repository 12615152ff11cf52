//! What must hold of everything that is read from disk or from a socket, whatever its bytes: fuzz
//! targets, run for long by `tests/fuzz` and briefly by this crate's tests. Each panics where a
//! property does not hold.

mod files;
mod lines;
mod names;
mod records;

pub use files::{closed, deliveries, identities, index, manifest};
pub use lines::control;
pub use names::names;
pub use records::record;

/// Takes `count` bytes off the front of an input, fewer where there are no more.
fn take<'d>(data: &mut &'d [u8], count: usize) -> &'d [u8] {
    let (front, rest) = data.split_at(count.min(data.len()));
    *data = rest;
    front
}

/// Takes a byte off the front; 0 where there is none.
fn take_byte(data: &mut &[u8]) -> u8 {
    take(data, 1).first().copied().unwrap_or_default()
}

/// Takes a position below `length`, which is not 0, off the front.
fn take_index(data: &mut &[u8], length: usize) -> usize {
    (usize::from(take_byte(data)) << 8 | usize::from(take_byte(data))) % length
}

#[cfg(test)]
mod tests {
    use mutation::pass;

    #[test]
    fn records_hold_on_mutated_inputs() {
        pass("record", 20_000, super::record);
    }

    #[test]
    fn names_hold_on_mutated_inputs() {
        pass("names", 20_000, super::names);
    }

    #[test]
    fn control_lines_hold_on_mutated_inputs() {
        pass("control", 20_000, super::control);
    }

    #[test]
    fn files_of_frames_hold_on_mutated_inputs() {
        pass("manifest", 3_000, super::manifest);
        pass("index", 3_000, super::index);
        pass("deliveries", 3_000, super::deliveries);
        pass("identities", 3_000, super::identities);
        pass("closed", 3_000, super::closed);
    }
}
