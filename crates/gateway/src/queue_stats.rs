use faasflow_admin as admin;

use crate::queue::QueueStats;

/// The state of the queue as the admin API tells it. The types of the queue may change. Programs read those of the API.
pub(crate) fn to_admin(stats: QueueStats) -> admin::QueueStats {
    let mut converted = admin::QueueStats::default();
    converted.version = admin::QUEUE_VERSION;
    converted.depth = stats.depth as u64;
    converted.functions = stats.functions.into_iter().map(|(name, depth)| (name, depth as u64)).collect();
    converted.in_flight = stats.in_flight as u64;
    converted.oldest_seconds = stats.oldest_seconds;
    converted.dead_letters = stats.dead_letters as u64;
    converted.unreadable = stats.unreadable as u64;
    converted.accepted = stats.totals.accepted;
    converted.duplicates = stats.totals.duplicates;
    converted.delivered = stats.totals.delivered;
    converted.retried = stats.totals.retried;
    converted.dead = stats.totals.dead;
    converted.dead_letters_removed = stats.totals.letters_removed;
    converted
}
