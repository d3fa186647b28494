//! How long the branches of a request took, from the lines that its flow logged.

use std::collections::BTreeMap;
use std::time::Duration;

/// The branches of an item with their times, in the order of the names.
pub(super) type Branches = BTreeMap<String, Duration>;

/// The times of the branches of each item. Items are numbered from 1.
///
/// A branch within an invocation has a line such as ``Executed branch `palette` in 12.3ms phase=1 branch=item-2/palette``. A
/// branch of several invocations has no such line. Its time is the sum of its steps: ``Executed function `palette` in 12.3ms: 161 bytes
/// phase=4 branch=item-2/palette``.
pub(super) fn of_items<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<usize, Branches> {
    let (mut whole, mut steps) = (BTreeMap::new(), BTreeMap::new());
    for line in lines.filter_map(Line::parse) {
        let times: &mut BTreeMap<usize, Branches> = if line.what == Executed::Branch { &mut whole } else { &mut steps };
        *times.entry(line.item).or_default().entry(line.branch.to_owned()).or_default() += line.took;
    }
    for (item, branches) in whole {
        steps.entry(item).or_default().extend(branches);
    }
    steps
}

#[derive(PartialEq)]
enum Executed {
    Branch,
    Step,
}

/// A line about something that was executed in a branch of an item.
struct Line<'a> {
    what: Executed,
    took: Duration,
    item: usize,
    /// The branch of the item. Branches and items inside it count as parts of it.
    branch: &'a str,
}

impl Line<'_> {
    fn parse(line: &str) -> Option<Line<'_>> {
        let (what, rest) = line.strip_prefix("Executed ")?.split_once(" in ")?;
        let (took, fields) = rest.split_once(' ')?;
        let path = fields.split(' ').find_map(|field| field.strip_prefix("branch=item-"))?;
        let (item, path) = path.split_once('/')?;
        let branch = path.split('/').next()?;
        // The steps of a branch or an item inside the branch have lines too, which count already.
        let what = match what.split(' ').next()? {
            "branch" if path == branch => Executed::Branch,
            "branch" | "item" => return None,
            _ => Executed::Step,
        };
        Some(Line { what, took: duration(took.trim_end_matches(':'))?, item: item.parse().ok()?, branch })
    }
}

/// Reads a time such as `12.3ms`.
fn duration(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[number.len()..] {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(lines: &[&str]) -> Vec<(usize, Vec<(String, u128)>)> {
        let micros = |branches: Branches| branches.into_iter().map(|(name, took)| (name, took.as_micros())).collect();
        of_items(lines.iter().copied()).into_iter().map(|(item, branches)| (item, micros(branches))).collect()
    }

    #[test]
    fn a_branch_within_an_invocation_has_a_time_of_its_own() {
        let lines = [
            "Executing phase 1 phase=1",
            "Executed function `palette` in 1.5ms: 20 bytes phase=1 branch=item-2/palette",
            "Executed branch `palette` in 1.9ms phase=1 branch=item-2/palette",
            "Executed branch `photo` in 2.0µs phase=1 branch=item-1/faces/photo",
            "Executed item 1 in 30.0ms phase=1 branch=item-1/faces/item-1",
            "Executed branch `faces` in 1.2s phase=1 branch=item-1/faces trace_id=0af7",
            "Executed item 1 in 1.3s phase=1 branch=item-1",
            "Executed branch `sheet` in 12.0ms phase=1 branch=sheet",
        ];
        let expected = [(1, vec![("faces".to_owned(), 1_200_000)]), (2, vec![("palette".to_owned(), 1_900)])];
        assert_eq!(times(&lines), expected);
    }

    #[test]
    fn the_time_of_a_branch_of_several_invocations_is_that_of_its_steps() {
        let lines = [
            "Executed function `facedetect` in 40.0ms: 103 bytes phase=4 branch=item-1/faces/boxes",
            "Executed branch `boxes` in 41.0ms phase=4 branch=item-1/faces/boxes",
            "Executed function `crop` in 2.5ms: 9000 bytes phase=6 branch=item-1/faces/item-2",
            "Executed modifier at src/lib.rs:7 in 500.0ns: 1 byte phase=7 branch=item-1/faces",
        ];
        assert_eq!(times(&lines), [(1, vec![("faces".to_owned(), 42_500)])]);
    }

    #[test]
    fn times_are_read_as_they_are_logged() {
        for took in
            [Duration::from_nanos(17), Duration::from_micros(2), Duration::from_millis(33), Duration::from_secs(4)]
        {
            assert_eq!(duration(&format!("{took:.1?}")), Some(took));
        }
        assert_eq!(duration("soon"), None);
    }
}
