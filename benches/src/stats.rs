//! Medians, percentiles, and the spread of rounds.

/// The value below which this share of the samples is. NaN if there are none.
pub(crate) fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    samples.get(at).copied().unwrap_or(f64::NAN)
}

/// The median. For an even number of samples, the mean of the two in the middle.
pub(crate) fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    let (Some(&lower), Some(&upper)) =
        (samples.get(samples.len().saturating_sub(1) / 2), samples.get(samples.len() / 2))
    else {
        return f64::NAN;
    };
    f64::midpoint(lower, upper)
}

/// The spread of an arm's rounds: the width of their middle half divided by their median. NaN for a single round.
pub(crate) fn spread(rounds: &[f64]) -> f64 {
    if rounds.len() < 2 {
        return f64::NAN;
    }
    let mut sorted = rounds.to_vec();
    (percentile(&mut sorted, 0.75) - percentile(&mut sorted, 0.25)) / median(&mut sorted)
}

/// The greater of two. NaN if one of them is.
pub(crate) fn greater(one: f64, other: f64) -> f64 {
    if one.is_nan() || one > other { one } else { other }
}

/// A share, as shown in tables.
pub(crate) fn percent(share: f64) -> String {
    if share.is_nan() { "-".to_owned() } else { format!("{:.0} %", share * 100.0) }
}

/// The noise of a run, as a line below its table.
pub(crate) fn noise(spreads: &[f64]) -> String {
    let mut known: Vec<f64> = spreads.iter().copied().filter(|spread| !spread.is_nan()).collect();
    if known.is_empty() {
        return "Noise: not known, because nothing had more than one round.".to_owned();
    }
    format!(
        "Noise: spread is the width of the middle half of an arm's rounds divided by their median; typically {}, at worst {}.",
        percent(median(&mut known)),
        percent(percentile(&mut known, 1.0))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_found_in_a_hundred_values() {
        let mut samples: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(median(&mut samples), 50.0);
        assert_eq!(percentile(&mut samples, 0.99), 99.0);
        assert!(median(&mut []).is_nan());
        assert_eq!((median(&mut [3.0]), median(&mut [4.0, 1.0]), median(&mut [9.0, 1.0, 2.0])), (3.0, 2.5, 2.0));
    }

    #[test]
    fn the_spread_is_a_share_of_the_median() {
        assert_eq!(spread(&[10.0, 9.0, 1000.0, 11.0, 0.0]), 0.2);
        assert_eq!(percent(0.2), "20 %");
    }

    #[test]
    fn a_single_round_has_no_spread() {
        assert_eq!(percent(spread(&[10.0])), "-");
        assert!(noise(&[spread(&[10.0])]).starts_with("Noise: not known"));
        assert!(noise(&[spread(&[10.0]), 0.02, 0.3, 0.01]).ends_with("typically 2 %, at worst 30 %."));
    }
}
