//! The same servers with TLS. Their certificate authority is private.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use faasflow::Error;
use faasflow::state::StateManager as _;

use super::backend::Backend;
use super::flows::{came_back, kit, payload};
use crate::suite::Suite;

/// A server's certificate for 127.0.0.1, its key, and the certificate of its authority, all in PEM.
pub(crate) struct Certificate {
    pub(crate) authority: String,
    public: String,
    private: String,
}

impl Certificate {
    fn new() -> Result<Certificate, rcgen::Error> {
        let mut authority = rcgen::CertificateParams::new(Vec::new())?;
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "the authority of a test");
        let key = rcgen::KeyPair::generate()?;
        let certificate = authority.self_signed(&key)?;
        let issuer = rcgen::Issuer::new(authority, key);
        let private = rcgen::KeyPair::generate()?;
        let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&private, &issuer)?;
        Ok(Certificate { authority: certificate.pem(), public: server.pem(), private: private.serialize_pem() })
    }

    pub(crate) fn write(&self, public: &Path, private: &Path) -> Result<(), String> {
        for (path, text) in [(public, &self.public), (private, &self.private)] {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

pub(super) async fn run(suite: &Suite, minio: &Path, redis: &Path, folder: &Path) {
    suite.heading("Both behind TLS");
    let (program, place) = (minio.to_owned(), folder.join("minio-tls"));
    suite
        .check("S3: an authority of one's own is trusted when it is named, and not otherwise", async move {
            let certificate = Certificate::new().map_err(|error| error.to_string())?;
            trusted(Backend::minio_with(&program, &place, None, Some(certificate)).await?).await
        })
        .await;
    let (program, place) = (redis.to_owned(), folder.join("redis-tls"));
    suite
        .check("Redis: an authority of one's own is trusted when it is named, and not otherwise", async move {
            let certificate = Certificate::new().map_err(|error| error.to_string())?;
            trusted(Backend::redis_with(&program, &place, Some(certificate)).await?).await
        })
        .await;
}

async fn trusted(backend: Backend) -> Result<(), String> {
    let backend = Arc::new(backend);
    {
        let kit = kit(&backend, &[("envelope_limit", "4000")]).await;
        let sent = payload(9_000_000, 1);
        came_back(&kit.request(sent.clone()).send().await, &sent)?;
    }
    let refused = tokio::time::timeout(Duration::from_secs(30), async { backend.distrustful_manager().probe().await });
    match refused.await.map_err(|_| "a manager that does not trust it hangs")? {
        Ok(()) => Err("a certificate of an unknown authority was believed".to_owned()),
        Err(error) => {
            let text = format!("{:#}", Error::from(error)).to_lowercase();
            if text.contains("certificate") { Ok(()) } else { Err(format!("the error does not say why: {text}")) }
        }
    }?;
    backend.stop().await
}
