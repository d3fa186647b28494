//! Carries out conclusions, in memory and in the file.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use faasflow_core::counted;
use faasflow_http::now_ms;

use crate::call::Call;
use crate::policy::schedule::Entry;
use crate::redb::RedbStore;
use crate::redb::change::{CallKey, Change};
use crate::redb::ids::hash;
use crate::redb::window::Window;
use crate::store::{Claim, Conclusion};

impl RedbStore {
    /// Carries out a conclusion: in memory at once, and in the file with the next batch.
    pub(super) fn conclude_call(&self, claim: &Claim, conclusion: Conclusion) {
        let mut window = self.shared.window();
        if !window.schedule.is_in_flight(claim.id) {
            return;
        }
        let Some(entry) = window.schedule.entry(claim.id).cloned() else { return };
        let place = CallKey { lane: entry.lane.clone(), function: entry.function.clone() };
        let id = claim.id;
        let mut changes = Vec::new();
        let mut again = None;
        let mut added = None;
        match conclusion {
            Conclusion::Again { due_ms, counts } => {
                window.totals.retried += 1;
                let (attempt, put_off) =
                    if counts { (claim.attempt + 1, 0) } else { (claim.attempt, claim.put_off.saturating_add(1)) };
                again = Some(Entry { attempt, put_off, due_ms, ..entry });
            }
            Conclusion::Untried { due_ms } => {
                again = Some(Entry { attempt: claim.attempt, put_off: claim.put_off, due_ms, ..entry });
            }
            Conclusion::Delivered { callback } => {
                window.totals.delivered += 1;
                window.uncount(&place.function);
                changes.push(Change::RemoveCall { id, place });
                added = callback;
            }
            Conclusion::Dead { letter, callback } => {
                window.totals.dead += 1;
                window.uncount(&place.function);
                changes.push(Change::RemoveCall { id, place });
                changes.push(Change::put_letter(id, &letter));
                window.dead.push_back((id, letter.died_ms));
                if !letter.call.is_callback() {
                    // A call with this id may be sent again.
                    let hash = hash(&letter.call.duplicate_key());
                    if let Some(number) = window.ids.find(hash) {
                        window.ids.remove(number, hash);
                        changes.push(Change::RemoveId(number));
                    }
                }
                changes.extend(self.forget_letters(&mut window));
                added = callback;
            }
            Conclusion::Gone => {
                window.uncount(&place.function);
                changes.push(Change::RemoveCall { id, place });
            }
        }
        if let Some(again) = &again {
            let attempts = again.attempt.saturating_sub(1);
            changes.push(Change::PutDue { id, lane: again.lane.clone(), attempts, due_ms: again.due_ms });
        }
        let added = added.map(|callback| self.add_callback(&window, callback, &mut changes));
        // Before the change in memory: a task that reads the file afterwards first waits until this is written.
        self.writer.lazy(changes);
        window.finish(id, &claim.lane, again);
        if let Some((entry, in_order)) = added {
            window.count(&entry.function);
            if in_order { window.schedule.add(entry, now_ms()) } else { window.due(entry) }
        }
        drop(window);
        self.shared.changed.notify_one();
    }

    /// The callback must not be lost after the conclusion, so both are in one batch, and the callback is delivered at
    /// once. It gets its number here, before the file has it. If other calls of its lane are only on disk, it cannot
    /// take its place among them, so it is added as a call that is due now.
    fn add_callback(&self, window: &Window, callback: Arc<Call>, changes: &mut Vec<Change>) -> (Entry, bool) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        changes.push(Change::put_call(id, &callback));
        let mut entry = Entry::new(id, callback, 1, 0);
        let in_order = window.has_room(&entry.lane);
        if !in_order {
            entry.due_ms = now_ms();
            let (lane, due_ms) = (entry.lane.clone(), entry.due_ms);
            changes.push(Change::PutDue { id, lane, attempts: 0, due_ms });
        }
        (entry, in_order)
    }

    /// Removes the dead letters that are too old or too many.
    fn forget_letters(&self, window: &mut Window) -> Vec<Change> {
        let oldest = now_ms().saturating_sub(self.shared.options.dead_letter_age_ms());
        let mut changes = Vec::new();
        while let Some(&(id, died)) = window.dead.front() {
            if died >= oldest && window.dead.len() <= self.shared.options.dead_letter_count {
                break;
            }
            window.dead.pop_front();
            changes.push(Change::RemoveLetter(id));
        }
        if !changes.is_empty() {
            window.totals.letters_removed += changes.len() as u64;
            let letters = counted(changes.len() as u64, "dead letter");
            tracing::warn!("Removed {letters}, because they were too old or too many");
        }
        changes
    }
}
