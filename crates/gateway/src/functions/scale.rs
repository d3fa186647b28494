//! How many containers a function is to have now.

use tokio::sync::watch;

use crate::stack::Replicas;

/// How many containers a function is to have: as many as its label says, until somebody asks for another number.
#[derive(Debug)]
pub(crate) struct Scale {
    wanted: watch::Sender<u32>,
    allowed: Replicas,
}

impl Scale {
    pub(crate) fn new(allowed: Replicas) -> Scale {
        Scale { wanted: watch::Sender::new(allowed.least), allowed }
    }

    /// How many there are to be.
    pub(crate) fn wanted(&self) -> u32 {
        *self.wanted.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u32> {
        self.wanted.subscribe()
    }

    /// Asks for another number.
    ///
    /// # Errors
    ///
    /// If it is more than the label allows, or than there may be of any function.
    pub(crate) fn set(&self, number: u32) -> Result<(), String> {
        self.allowed.check(number)?;
        self.wanted.send_replace(number);
        Ok(())
    }

    /// Starts the first ones again, if there are to be none.
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
    fn one_that_is_asleep_is_woken_once() {
        let scale = Scale::new(Replicas { least: 2, most: 3 });
        assert_eq!(scale.wanted(), 2);
        scale.set(0).unwrap();
        scale.wake();
        assert_eq!(scale.wanted(), 2);
        scale.set(3).unwrap();
        scale.wake();
        assert_eq!(scale.wanted(), 3);
        assert!(scale.set(4).unwrap_err().contains("3 containers at most"));
        assert_eq!(scale.wanted(), 3);
    }
}
