/// A number with its noun in the singular or plural. The plural ends in `s`.
///
/// ```
/// use faasflow_core::counted;
///
/// assert_eq!(counted(1, "dead letter"), "1 dead letter");
/// assert_eq!(counted(0, "dead letter"), "0 dead letters");
/// ```
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{end}")
}
