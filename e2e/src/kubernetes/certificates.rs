//! The cluster's certificate authority, and the certificates that it issues.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::machine::{API, NODE, write};

/// A certificate authority in a folder, with the certificates that it has issued.
pub(super) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Creates an authority, the API server's certificate (`server.crt`), and the key for the tokens of pods
    /// (`tokens.key`).
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub(super) fn new(folder: &Path) -> Result<Authority, String> {
        let fault = |error: rcgen::Error| error.to_string();
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut parameters = CertificateParams::new(Vec::new()).map_err(fault)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "the authority of a test");
        let key = KeyPair::generate().map_err(fault)?;
        let certificate = parameters.self_signed(&key).map_err(fault)?;
        write(&folder.join("ca.crt"), &certificate.pem())?;
        let authority = Authority { folder: folder.to_owned(), issuer: Issuer::new(parameters, key) };
        let names = ["kubernetes", "kubernetes.default.svc.cluster.local", "127.0.0.1", NODE, API];
        authority.sign("server", "kube-apiserver", None, &names)?;
        let tokens = KeyPair::generate().map_err(fault)?;
        write(&folder.join("tokens.key"), &tokens.serialize_pem())?;
        write(&folder.join("tokens.pub"), &tokens.public_key_pem())?;
        Ok(authority)
    }

    /// Writes the certificate `FILE.crt` and its key `FILE.key`.
    fn sign(&self, file: &str, name: &str, group: Option<&str>, hosts: &[&str]) -> Result<(), String> {
        let fault = |error: rcgen::Error| error.to_string();
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts).map_err(fault)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            parameters.distinguished_name.push(DnType::OrganizationName, group);
        }
        let key = KeyPair::generate().map_err(fault)?;
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(fault)?.pem();
        write(&self.folder.join(format!("{file}.crt")), &certificate)?;
        write(&self.folder.join(format!("{file}.key")), &key.serialize_pem())
    }

    /// Writes a `kubeconfig` for a user, beside its certificate and key. Returns the path.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub(super) fn admit(&self, file: &str, name: &str, group: Option<&str>) -> Result<PathBuf, String> {
        self.sign(file, name, group, &[])?;
        let path = |name: String| self.folder.join(name).to_string_lossy().into_owned();
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": {
                "server": "https://127.0.0.1:6443", "certificate-authority": path("ca.crt".to_owned()),
            }}],
            "users": [{"name": "own", "user": {
                "client-certificate": path(format!("{file}.crt")), "client-key": path(format!("{file}.key")),
            }}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "own"}}],
            "current-context": "e2e",
        });
        let config_path = self.folder.join(format!("{file}.kubeconfig"));
        write(&config_path, &config.to_string())?;
        Ok(config_path)
    }

    /// The path of a file in the folder.
    pub(super) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}
