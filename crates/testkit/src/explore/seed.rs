//! Orders as text: the index of the chosen move at each step.

/// Writes choices. Runs of 0, the most frequent choice, are written as `x` and their length.
pub(super) fn write(choices: &[usize]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = choices;
    while let Some(first) = rest.first() {
        let zeros = rest.iter().take_while(|choice| **choice == 0).count();
        if zeros > 1 {
            words.push(format!("x{zeros}"));
            rest = &rest[zeros..];
        } else {
            words.push(first.to_string());
            rest = &rest[1..];
        }
    }
    words.join(".")
}

/// Reads the text that [`write`] has written; `None` if it is not such a text.
pub(super) fn read(text: &str) -> Option<Vec<usize>> {
    let mut choices = Vec::new();
    for word in text.split('.').filter(|word| !word.is_empty()) {
        match word.strip_prefix('x') {
            Some(zeros) => choices.extend(std::iter::repeat_n(0, zeros.parse().ok()?)),
            None => choices.push(word.parse().ok()?),
        }
    }
    Some(choices)
}

/// Pseudorandom numbers from a seed, by splitmix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `bound`, which must not be 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (bound as u64)).expect("it is below a usize")
    }
}
