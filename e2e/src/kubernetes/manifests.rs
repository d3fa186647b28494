//! The manifests of the suite: those of `deploy/kubernetes`, unchanged, for a cluster of one node, and a second flow
//! that is made as they describe.

use std::path::{Path, PathBuf};

use super::kubectl::Kubectl;
use super::machine::{run, write};

/// A copy of the folder with the manifests, and the suite's overlay.
pub(super) struct Manifests {
    folder: PathBuf,
}

/// Every folder that a user would apply.
pub(super) const FOLDERS: [&str; 2] = ["base", "overlays/one-node"];

impl Manifests {
    /// Writes them.
    ///
    /// # Errors
    ///
    /// If a file cannot be copied.
    pub(super) async fn write(folder: &Path) -> Result<Manifests, String> {
        let folder = folder.join("manifests");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
        run("cp", &["-R", &source.to_string_lossy(), &folder.to_string_lossy()]).await?;
        let manifests = Manifests { folder };
        manifests.write_second_flow()?;
        manifests.write_overlays()?;
        Ok(manifests)
    }

    /// The path of a folder to apply.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// "Copy this folder and put its name in place of `my-flow`, also in the gateway's stack.yml."
    fn write_second_flow(&self) -> Result<(), String> {
        let (from, to) = (self.folder("base/my-flow"), self.folder("suite/my-phases"));
        std::fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
        for entry in std::fs::read_dir(&from).map_err(|error| format!("{}: {error}", from.display()))?.flatten() {
            let text = std::fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
            // It uses the image of the other flow, which contains both.
            let text = text.replace("my-flow", "my-phases").replace("example/my-phases", "example/my-flow");
            let text = text.replace(
                "          env:\n",
                "          env:\n            - name: E2E_FLOW\n              value: my-phases\n",
            );
            write(&to.join(entry.file_name()), &text)?;
        }
        let stack = self.folder("base/gateway/stack.yml");
        let text = std::fs::read_to_string(&stack).map_err(|error| format!("{}: {error}", stack.display()))?;
        let added = "  my-phases:\n    annotations:\n      faasflow.url: http://my-phases:8080\n";
        write(&self.folder("suite/stack.yml"), &format!("{text}{added}"))
    }

    fn write_overlays(&self) -> Result<(), String> {
        let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: faasflow\n";
        let suite = format!(
            "{head}resources:\n  - ../overlays/one-node\n  - my-phases\ncomponents:\n  - ../components/monitoring\n  - \
             ../components/ingress\nconfigMapGenerator:\n  - name: gateway-stack\n    behavior: replace\n    files: [stack.yml]\n\
             patches:\n  - target:\n      kind: Deployment\n    patch: |\n      - op: add\n        path: \
             /spec/template/spec/containers/0/imagePullPolicy\n        value: Never\n"
        );
        write(&self.folder("suite/kustomization.yaml"), &suite)
    }
}

/// Creates the two secrets with the commands of the guide.
///
/// # Errors
///
/// If the API server refuses one.
pub(super) async fn make_secrets(kubectl: &Kubectl) -> Result<(), String> {
    let key = "--from-literal=faasflow-hmac-secret=0123456789abcdef0123456789abcdef";
    kubectl.ours(&["create", "secret", "generic", "faasflow-hmac-secret", key]).await?;
    let user = "--from-literal=basic-auth-user=admin";
    let password = format!("--from-literal=basic-auth-password={PASSWORD}");
    kubectl.ours(&["create", "secret", "generic", "faasflow-basic-auth", user, &password]).await.map(drop)
}

/// The one of the gateway.
pub(super) const PASSWORD: &str = "a-password-of-the-suite";
