//! Durations of calls, counted by size, from which percentiles are estimated.

use std::time::Duration;

/// The upper bound of the smallest size, in milliseconds.
const SMALLEST_MS: f64 = 0.0625;
/// How many sizes there are until a duration is twice as long. The middle of a size is at most 9 % from its bounds.
const PER_DOUBLING: f64 = 4.0;
/// How many sizes there are. The largest begins at about three days.
const SIZES: usize = 129;

/// How many durations there were of each size. Sizes without any take no memory, because calls of one function take similarly long.
#[derive(Debug, Default)]
pub(super) struct Durations(Vec<(u8, u32)>);

impl Durations {
    pub(super) fn add(&mut self, duration: Duration) {
        let size = size(duration);
        match self.0.binary_search_by_key(&size, |(size, _)| *size) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(1),
            Err(at) => self.0.insert(at, (size, 1)),
        }
    }
}

/// Durations of several minutes together.
pub(super) struct Merged {
    counts: [u64; SIZES],
    all: u64,
}

impl<'a> FromIterator<&'a Durations> for Merged {
    fn from_iter<T: IntoIterator<Item = &'a Durations>>(durations: T) -> Merged {
        let mut merged = Merged { counts: [0; SIZES], all: 0 };
        for (size, count) in durations.into_iter().flat_map(|durations| &durations.0) {
            merged.counts[usize::from(*size)] += u64::from(*count);
            merged.all += u64::from(*count);
        }
        merged
    }
}

impl Merged {
    /// An estimate, in milliseconds, of how long so many of 100 calls took at most; `None` without calls.
    pub(super) fn percentile_ms(&self, percent: u64) -> Option<f64> {
        let rank = (self.all * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let size = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(rounded(SMALLEST_MS * ((size as f64 - 0.5) / PER_DOUBLING).exp2()))
    }
}

fn size(duration: Duration) -> u8 {
    let doublings = (millis(duration) / SMALLEST_MS).log2();
    // A cast of a float saturates, and a duration of 0 has the size 0.
    ((doublings * PER_DOUBLING).ceil() as u8).min((SIZES - 1) as u8)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A duration in milliseconds, as the API writes it.
pub(super) fn rounded_millis(duration: Duration) -> f64 {
    rounded(millis(duration))
}

fn rounded(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(durations: impl IntoIterator<Item = Duration>) -> Merged {
        let mut counted = Durations::default();
        durations.into_iter().for_each(|duration| counted.add(duration));
        [&counted].into_iter().collect()
    }

    #[test]
    fn percentiles_are_at_most_a_tenth_off() {
        for longest in [1_u64, 40, 900, 60_000, 3_000_000] {
            let merged = merged((1..=1000).map(|part| Duration::from_micros(longest * part)));
            for percent in [50, 95] {
                let exact = (longest * percent * 10) as f64 / 1000.0;
                let estimate = merged.percentile_ms(percent).unwrap();
                // Durations of less than a sixteenth of a millisecond are not told apart.
                if exact > SMALLEST_MS {
                    assert!(
                        (estimate / exact - 1.0).abs() < 0.1,
                        "{percent} of {longest}: {estimate}, exactly {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_few_slow_calls_do_not_change_the_middle() {
        let many = std::iter::repeat_n(Duration::from_millis(10), 94);
        let merged = merged(many.chain(std::iter::repeat_n(Duration::from_secs(5), 6)));
        let (p50, p95) = (merged.percentile_ms(50).unwrap(), merged.percentile_ms(95).unwrap());
        assert!((9.0..11.0).contains(&p50) && (4500.0..5500.0).contains(&p95), "{p50} {p95}");
    }

    #[test]
    fn any_duration_has_a_size_and_no_calls_have_no_percentile() {
        assert_eq!(merged([]).percentile_ms(50), None);
        for duration in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(u64::MAX)] {
            assert!(merged([duration]).percentile_ms(50).unwrap() > 0.0, "{duration:?}");
        }
    }
}
