/// The number of effects of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Keys that were read.
    pub reads: usize,
    /// Attempts to create a key.
    pub creates: usize,
    /// Chunks of lists that were written.
    pub chunks: usize,
    /// Messages that were posted.
    pub posts: usize,
    /// Deliveries.
    pub deliveries: usize,
    /// The most keys that one phase has read or written. Joins are left out, because they read the result of each member.
    pub most_in_one: usize,
}
