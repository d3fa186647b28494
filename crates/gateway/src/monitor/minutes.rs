//! What was counted in each of the last minutes.

use std::collections::VecDeque;

use faasflow_admin::MINUTES;

/// The number of the minute of a time, since the Unix epoch.
pub(super) fn minute(at_ms: u64) -> u64 {
    at_ms / 60_000
}

/// A value for each of the last [`MINUTES`] minutes in which something was counted.
#[derive(Debug)]
pub(super) struct Minutes<T>(VecDeque<(u64, T)>);

impl<T> Default for Minutes<T> {
    fn default() -> Minutes<T> {
        Minutes(VecDeque::new())
    }
}

impl<T: Default> Minutes<T> {
    /// The value of a minute. If the clock was set back, it is the latest one, so that minutes stay in order.
    pub(super) fn of(&mut self, minute: u64) -> &mut T {
        if self.0.back().is_none_or(|(latest, _)| *latest < minute) {
            while self.0.front().is_some_and(|(first, _)| is_over(*first, minute)) {
                self.0.pop_front();
            }
            self.0.push_back((minute, T::default()));
        }
        &mut self.0.back_mut().expect("it has one").1
    }
}

impl<T> Minutes<T> {
    /// The values that are not older than an hour at this minute.
    pub(super) fn until(&self, now: u64) -> impl Iterator<Item = &T> {
        self.0.iter().filter(move |(minute, _)| !is_over(*minute, now)).map(|(_, value)| value)
    }

    /// Adds a figure of each minute to a list that ends with this minute.
    pub(super) fn add_to(&self, figures: &mut [u64], now: u64, figure: impl Fn(&T) -> u64) {
        for (minute, value) in &self.0 {
            let back = usize::try_from(now.saturating_sub(*minute)).unwrap_or(usize::MAX);
            if let Some(at) = figures.len().checked_sub(back.saturating_add(1)) {
                figures[at] += figure(value);
            }
        }
    }
}

fn is_over(minute: u64, now: u64) -> bool {
    now.saturating_sub(minute) >= MINUTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_forgotten_after_an_hour() {
        let mut minutes = Minutes::<u64>::default();
        for minute in 100..300 {
            *minutes.of(minute) += minute;
        }
        assert_eq!(minutes.0.len(), MINUTES);
        assert_eq!(minutes.until(299).count(), MINUTES);
        assert_eq!(minutes.until(328).copied().collect::<Vec<_>>(), (269..300).collect::<Vec<_>>());
        assert_eq!(minutes.until(1000).count(), 0);
        let mut figures = [0; 4];
        minutes.add_to(&mut figures, 301, |value| *value);
        assert_eq!(figures, [298, 299, 0, 0]);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let mut minutes = Minutes::<u64>::default();
        for minute in [100, 101, 50, 102] {
            *minutes.of(minute) += 1;
        }
        let mut figures = [0; 3];
        minutes.add_to(&mut figures, 102, |value| *value);
        assert_eq!(figures, [1, 2, 1]);
    }
}
