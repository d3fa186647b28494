//! Creates several values with one request.

use bytes::{BufMut as _, Bytes, BytesMut};
use faasflow_admin::state::{self as api, StateCreated};
use faasflow_core::state::{Condition, Scope, StateError, StateManager as _};
use http::Method;

use super::GatewayStore;
use super::client::query;

/// The bytes of a key or value besides its own.
const LENGTH: usize = 8;

impl GatewayStore {
    pub(super) async fn create_all(&self, scope: &Scope, values: &[(&str, Bytes)]) -> Result<usize, StateError> {
        let mut created = 0;
        while created < values.len() {
            let rest = &values[created..];
            let count = fitting(rest);
            let now = match rest {
                // Alone, a value may have any size.
                [(key, value), ..] if count <= 1 => {
                    usize::from(self.set_if(scope, key, value.clone(), Condition::Absent).await?.is_some())
                }
                _ => self.create_some(scope, &rest[..count]).await?,
            };
            created += now;
            if now < count.max(1) {
                break;
            }
        }
        Ok(created)
    }

    async fn create_some(&self, scope: &Scope, values: &[(&str, Bytes)]) -> Result<usize, StateError> {
        let what = "values cannot be written";
        let mut body = BytesMut::with_capacity(values.iter().map(size).sum());
        for (key, value) in values {
            for part in [key.as_bytes(), value] {
                body.put_u64(part.len() as u64);
                body.put_slice(part);
            }
        }
        let target = format!("{}?{}", api::NEW_VALUES, query(scope, &[]));
        let answer = self.client.ask(what, Method::POST, target, None, body.freeze(), None).await?;
        let StateCreated { created, .. } = serde_json::from_slice(&answer.body).map_err(|error| {
            StateError::temporary(format!("{what}: the answer of the gateway is not JSON")).with_source(error)
        })?;
        Ok(usize::try_from(created).unwrap_or(usize::MAX).min(values.len()))
    }
}

fn size((key, value): &(&str, Bytes)) -> usize {
    2 * LENGTH + key.len() + value.len()
}

/// How many of the values fit into one request.
fn fitting(values: &[(&str, Bytes)]) -> usize {
    let mut left = api::LARGEST_NEW_VALUES;
    let fits = |value: &&(&str, Bytes)| {
        let fits = value.1.len() <= api::LARGEST_NEW_VALUE && size(value) <= left;
        left = left.saturating_sub(size(value));
        fits
    };
    values.iter().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_sent_alone() {
        let values = |lengths: &[usize]| {
            let values: Vec<_> = lengths.iter().map(|length| ("key", Bytes::from(vec![0; *length]))).collect();
            fitting(&values)
        };
        assert_eq!(values(&[1, 2, 3]), 3);
        assert_eq!(values(&[1, api::LARGEST_NEW_VALUE + 1, 3]), 1);
        assert_eq!(values(&[api::LARGEST_NEW_VALUE + 1, 3]), 0);
        assert_eq!(values(&[api::LARGEST_NEW_VALUE; 10]), 3);
    }
}
