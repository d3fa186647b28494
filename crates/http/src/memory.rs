//! The memory that this process may use.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory that is assumed if nothing can be read, such as on systems other than Linux.
const UNKNOWN: u64 = 1 << 30;

/// The memory that this process may use, in bytes. This is the lowest of: the limits of its cgroup (version 1 or 2) and
/// of the cgroups above it, what is left of its limits on address space and data (`ulimit -v`, `ulimit -d`), and the
/// memory of the machine.
///
/// Allocators and threads reserve addresses before they use them as memory. Addresses that the allocator has reserved
/// can still be used, but those of threads cannot. So what is left of these two limits counts, and at least half of
/// each.
///
/// If none of these can be read, the result is 1 GiB.
#[must_use]
pub fn memory_limit() -> u64 {
    process_limits().into_iter().chain(below(Path::new("/"))).min().unwrap_or(UNKNOWN)
}

/// What is left of the limits that were set for this process.
#[cfg(unix)]
fn process_limits() -> Vec<u64> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = [(rlimit::Resource::AS, "VmSize:"), (rlimit::Resource::DATA, "VmData:")];
    let limits = limits.into_iter().filter_map(|(resource, taken)| {
        let limit = resource.get_soft().ok().filter(|&limit| limit != rlimit::INFINITY)?;
        Some(limit.saturating_sub(kilobytes(&status, taken).unwrap_or_default()).max(limit / 2))
    });
    limits.collect()
}

/// Only Unix has such limits.
#[cfg(not(unix))]
fn process_limits() -> Vec<u64> {
    Vec::new()
}

/// The limits according to the system files under `root`.
fn below(root: &Path) -> Option<u64> {
    let cgroups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let mounts: Vec<Mount<'_>> = mounts.lines().filter_map(Mount::parse).collect();
    let limits = cgroups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (file, mount) = if controllers.is_empty() {
            ("memory.max", mounts.iter().find(|mount| mount.kind == "cgroup2")?)
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("memory.limit_in_bytes", mounts.iter().find(|mount| mount.is_of_memory())?)
        } else {
            return None;
        };
        lowest(root, mount, path, file)
    });
    limits.chain(machine(root)).min()
}

/// The lowest limit of a cgroup and of those above it, as far as they are visible.
fn lowest(root: &Path, mount: &Mount<'_>, path: &str, file: &str) -> Option<u64> {
    // A container sees its own cgroup as the root of the mount, but may get its path on the host.
    let below = Path::new(path).strip_prefix(mount.root).unwrap_or(Path::new(""));
    let top = root.join(mount.at.trim_start_matches('/'));
    let folders: Vec<PathBuf> = below.ancestors().map(|folder| top.join(folder)).collect();
    let read = |folder: &PathBuf| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    // `max` is not a number and means no limit. Version 1 writes a very large number instead.
    folders.iter().filter_map(read).min()
}

/// The memory of the machine.
fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    kilobytes(&text, "MemTotal:")
}

/// Reads a line of a file such as `/proc/meminfo`, whose values are in kilobytes. Returns bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let kilobytes = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))?;
    kilobytes.parse::<u64>().ok()?.checked_mul(1024)
}

/// A line of `/proc/self/mountinfo` (proc(5)).
struct Mount<'a> {
    root: &'a str,
    at: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut file_system = file_system.split(' ');
        Some(Mount { root: mount.next()?, at: mount.next()?, kind: file_system.next()?, options: file_system.nth(1)? })
    }

    fn is_of_memory(&self) -> bool {
        self.kind == "cgroup" && self.options.split(',').any(|option| option == "memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24683872 kB\nMemFree:        20848000 kB\n";
    const GIB: u64 = 1 << 30;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        below(root.path())
    }

    #[test]
    fn r7_the_limit_is_the_lowest_of_all_cgroups_above() {
        let v2 = "30 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n";
        let files = |inner, outer| {
            limit(&[
                ("proc/self/cgroup", "0::/pod/container\n"),
                ("proc/self/mountinfo", v2),
                ("proc/meminfo", MEMINFO),
                ("sys/fs/cgroup/pod/container/memory.max", inner),
                ("sys/fs/cgroup/pod/memory.max", outer),
            ])
        };
        assert_eq!(files("536870912\n", "max\n"), Some(GIB / 2));
        assert_eq!(files("max\n", "268435456\n"), Some(GIB / 4));
        assert_eq!(files("536870912\n", "268435456\n"), Some(GIB / 4));
        assert_eq!(files("max\n", "max\n"), Some(24_683_872 * 1024), "the machine's");
    }

    #[test]
    fn r7_a_container_sees_its_own_cgroup_at_the_root_of_the_mount() {
        let v1 = "31 24 0:28 /docker/abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n\
                  32 24 0:29 /docker/abc /sys/fs/cgroup/cpu ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n";
        let limited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
        for cgroup in ["4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n", "4:memory:/\n"] {
            let files = [("proc/self/cgroup", cgroup), ("proc/self/mountinfo", v1), ("proc/meminfo", MEMINFO), limited];
            assert_eq!(limit(&files), Some(GIB / 2), "{cgroup}");
        }
        let nested = [
            ("proc/self/cgroup", "4:memory:/docker/abc/inner\n"),
            ("proc/self/mountinfo", v1),
            limited,
            ("sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limit(&nested), Some(GIB / 2));
    }

    #[test]
    fn r7_without_cgroups_the_memory_of_the_machine_is_the_limit() {
        assert_eq!(limit(&[("proc/meminfo", MEMINFO)]), Some(24_683_872 * 1024));
        assert_eq!(limit(&[]), None);
        assert!(memory_limit() > 1 << 20);
    }
}
