//! How many containers a function should have at the moment.

use tokio::sync::watch;

use crate::stack::Replicas;

/// The number of containers that a function should have: as many as its label says, until the API sets another number.
#[derive(Debug)]
pub(crate) struct Scale {
    wanted: watch::Sender<u32>,
    allowed: Replicas,
}

impl Scale {
    pub(crate) fn new(allowed: Replicas) -> Scale {
        Scale { wanted: watch::Sender::new(allowed.least), allowed }
    }

    /// The number of containers that there should be.
    pub(crate) fn wanted(&self) -> u32 {
        *self.wanted.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u32> {
        self.wanted.subscribe()
    }

    /// Sets another number.
    ///
    /// # Errors
    ///
    /// If it is more than the label or this gateway allows.
    pub(crate) fn set(&self, number: u32) -> Result<(), String> {
        self.allowed.check(number)?;
        self.wanted.send_replace(number);
        Ok(())
    }

    /// Sets the first number again if it is zero.
    pub(crate) fn wake(&self) {
        self.wanted.send_if_modified(|wanted| {
            let asleep = *wanted == 0;
            if asleep {
                *wanted = self.allowed.least.max(1);
            }
            asleep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waking_sets_the_first_number_only_from_zero() {
        let scale = Scale::new(Replicas { least: 2, most: 3 });
        assert_eq!(scale.wanted(), 2);
        scale.set(0).unwrap();
        scale.wake();
        assert_eq!(scale.wanted(), 2);
        scale.set(3).unwrap();
        scale.wake();
        assert_eq!(scale.wanted(), 3);
        assert!(scale.set(4).unwrap_err().contains("at most 3 containers"));
        assert_eq!(scale.wanted(), 3);
    }
}
