use std::fmt;

use http::StatusCode;

/// A set of status codes that can be built in a constant, with one bit for each code from 100 to 999.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Statuses([u64; 15]);

/// The lowest status code.
const FIRST: u16 = 100;

impl Statuses {
    pub(super) const NONE: Statuses = Statuses([0; 15]);

    pub(super) const fn new(statuses: &[StatusCode]) -> Statuses {
        let (mut set, mut next) = (Statuses::NONE, 0);
        while next < statuses.len() {
            set = set.with(statuses[next].as_u16());
            next += 1;
        }
        set
    }

    /// Adds 500 to 599.
    pub(super) const fn and_server_errors(mut self) -> Statuses {
        let mut status = 500;
        while status < 600 {
            self = self.with(status);
            status += 1;
        }
        self
    }

    pub(super) const fn contains(self, status: StatusCode) -> bool {
        let at = (status.as_u16() - FIRST) as usize;
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    /// The same statuses except this one.
    pub(super) const fn without(mut self, status: StatusCode) -> Statuses {
        let at = (status.as_u16() - FIRST) as usize;
        self.0[at / 64] &= !(1 << (at % 64));
        self
    }

    /// Adds one status code.
    const fn with(mut self, status: u16) -> Statuses {
        let at = (status - FIRST) as usize;
        self.0[at / 64] |= 1 << (at % 64);
        self
    }
}

impl FromIterator<StatusCode> for Statuses {
    fn from_iter<I: IntoIterator<Item = StatusCode>>(statuses: I) -> Statuses {
        statuses.into_iter().fold(Statuses::NONE, |set, status| set.with(status.as_u16()))
    }
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = (FIRST..1000).filter_map(|status| StatusCode::from_u16(status).ok());
        f.debug_set().entries(all.filter(|status| self.contains(*status)).map(|status| status.as_u16())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_the_statuses_that_were_added() {
        let ends = [100, 163, 164, 429, 999].map(|status| StatusCode::from_u16(status).unwrap());
        let set: Statuses = ends.into_iter().collect();
        assert_eq!(format!("{set:?}"), "{100, 163, 164, 429, 999}");
        assert_eq!(set, Statuses::new(&ends));
        let errors = format!("{:?}", Statuses::NONE.and_server_errors());
        assert!(errors.starts_with("{500, 501, ") && errors.ends_with(", 598, 599}"), "{errors}");
    }
}
