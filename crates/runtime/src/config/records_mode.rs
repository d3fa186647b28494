/// Whether a flow remembers its requests: what has become of each, and its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordsMode {
    /// If the state manager is shared and can remember requests.
    #[default]
    Auto,
    /// Always. If the state manager cannot, the flow does not start.
    On,
    /// Never.
    Off,
}
