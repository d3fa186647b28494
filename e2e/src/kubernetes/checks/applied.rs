//! The API server accepts every manifest, and everything in them starts.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Stand;
use crate::kubernetes::cluster::until;
use crate::kubernetes::manifests::{FOLDERS, make_secrets};
use crate::kubernetes::programs::Programs;
use crate::suite::{Suite, expect};

/// The later checks need what is applied here.
pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>, programs: &Programs) -> Result<(), String> {
    let definition = programs.service_monitors.to_string_lossy().into_owned();
    let ours = stand.clone();
    suite
        .check("the API server takes all manifests, ServiceMonitors by the operator's definition", async move {
            ours.kubectl.run(&["create", "-f", &definition]).await?;
            let served = "/apis/monitoring.coreos.com/v1/servicemonitors";
            until("ServiceMonitors are served", || async {
                ours.kubectl.run(&["get", "--raw", served]).await.map(drop)
            })
            .await?;
            // The namespace must exist before its contents can be checked.
            let namespace = ours.manifests.folder("base/namespace.yaml");
            ours.kubectl.run(&["apply", "-f", &namespace.to_string_lossy()]).await?;
            for folder in FOLDERS.into_iter().chain(["suite"]) {
                let printed = ours
                    .kubectl
                    .apply(&ours.manifests.folder(folder), &["--dry-run=server", "--validate=strict"])
                    .await?;
                println!("          ({folder}: {} objects)", printed.lines().count());
            }
            Ok(())
        })
        .await;
    let ours = stand.clone();
    suite
        .check(
            "a field that does not exist, and a pod that may do more, are refused",
            async move { refused(&ours).await },
        )
        .await;
    let ours = stand.clone();
    suite
        .check("they are applied, and gateway, flows and function come up", async move {
            std::fs::create_dir_all("/var/lib/faasflow").map_err(|error| error.to_string())?;
            make_secrets(&ours.kubectl).await?;
            ours.kubectl.apply(&ours.manifests.folder("suite"), &[]).await?;
            for what in ["deployment/shout", "deployment/my-flow", "deployment/my-phases", "statefulset/gateway"] {
                ours.kubectl.rolled_out(what).await?;
            }
            for service in ["shout", "my-flow", "my-phases", "gateway"] {
                // A pod is ready a moment before its Service forwards to it.
                until(&format!("the Service {service} leads to a pod"), || async {
                    let url = ours.service(service).await?;
                    let address = url.trim_start_matches("http://");
                    TcpStream::connect(address).await.map(drop).map_err(|error| format!("{address}: {error}"))
                })
                .await?;
            }
            Ok(())
        })
        .await;
    let ours = stand.clone();
    suite
        .check("all run as no root, on read-only roots, without capabilities", async move { confined(&ours).await })
        .await;
    suite.not_done("requests through the Ingress", "no controller runs here; the API server has checked it");
    suite.not_done(
        "metrics read by a Prometheus of the operator",
        "it does not run here; the endpoints are asked below",
    );
    // Without these, all other checks fail for the same reason.
    stand.kubectl.rolled_out("statefulset/gateway").await
}

async fn refused(stand: &Stand) -> Result<(), String> {
    let pod = |more: &str| {
        format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"refused\", \"namespace\": \"faasflow\"}}, \
             \"spec\": {{{more}\"containers\": [{{\"name\": \"one\", \"image\": \"example/shout:0.1.0\"}}]}}}}"
        )
    };
    for (spec, reason) in [("\"no-such-field\": 1, ", "no-such-field"), ("\"hostNetwork\": true, ", "PodSecurity")] {
        let printed = stand.kubectl.run_with(&["apply", "--dry-run=server", "-f", "-"], &pod(spec)).await;
        expect(printed.as_ref().is_err_and(|printed| printed.contains(reason)), || format!("{spec}: {printed:?}"))?;
    }
    Ok(())
}

/// According to the kernel, for the processes themselves.
async fn confined(stand: &Stand) -> Result<(), String> {
    let mut found = 0;
    for (program, id) in processes(&["flow", "faasflow"]) {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).map_err(|error| error.to_string())?;
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        expect(line("Uid:").iter().all(|user| user == "1000"), || format!("{program} runs as {:?}", line("Uid:")))?;
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            expect(line(set) == ["0000000000000000"], || format!("{program} has {set} {:?}", line(set)))?;
        }
        expect(line("NoNewPrivs:") == ["1"], || format!("{program} may gain privileges"))?;
        expect(line("Seccomp:") == ["2"], || format!("{program} may make any system call"))?;
        let mounts = std::fs::read_to_string(format!("/proc/{id}/mounts")).map_err(|error| error.to_string())?;
        let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap_or_default();
        let options = root.split(' ').nth(3).unwrap_or_default();
        expect(options.split(',').any(|option| option == "ro"), || format!("the root of {program}: {root}"))?;
        found += 1;
    }
    let pods = stand.kubectl.ours(&["get", "pods", "-o", "name"]).await?.lines().count();
    // The gateway, and two pods of each flow and of the function.
    expect(found == pods && found == 7, || format!("{found} processes were found of {pods} pods"))
}

/// The processes of containers that run programs of these names. The ids are those in the namespace of the suite.
pub(super) fn processes(programs: &[&str]) -> Vec<(String, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let named = ids.filter_map(|id| {
        let path = std::fs::read_link(format!("/proc/{id}/exe")).ok()?;
        // Containers have the program in /app.
        let name = path.strip_prefix("/app").ok()?.to_str()?.to_owned();
        programs.contains(&name.as_str()).then_some((name, id))
    });
    named.collect()
}

/// The time limit for reports.
pub(super) const SOON: Duration = Duration::from_secs(60);
