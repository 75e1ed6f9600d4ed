//! The memory that can be had here: checked before a lot of it is asked for. A system that promises any amount takes it
//! back by killing the process that touches it.
//!
//! What always holds here: a limit that cannot be read counts as enough; the least of the limits read is the answer.

use std::fs;
use std::path::{Path, PathBuf};

/// The bytes left for everything else, and for a wrong guess.
const SPARE: u64 = 8 << 20;
/// The value of old cgroups where there is no limit, and more.
const UNLIMITED: u64 = 1 << 60;
const LEVELS_MAX: usize = 64;

/// How many bytes this process can take now without being refused or killed; `None`: unknown.
pub fn free() -> Option<u64> {
    // Elsewhere there are no such files, and the allocator refuses what cannot be had.
    free_in(Path::new("/"))
}

/// The same for the system whose files are under `root`.
fn free_in(root: &Path) -> Option<u64> {
    let system = System { root };
    [system.machine(), system.cgroups(), system.limits()]
        .into_iter()
        .flatten()
        .min()
        .map(|bytes| bytes.saturating_sub(SPARE))
}

struct System<'a> {
    root: &'a Path,
}

impl System<'_> {
    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.read(path)?.trim().parse().ok()
    }

    /// The memory that the kernel would give without taking from others, and swap.
    fn machine(&self) -> Option<u64> {
        let about = self.read("proc/meminfo")?;
        let kib = |name: &str| field(&about, name)?.split(' ').next()?.parse::<u64>().ok();
        let swap = kib("SwapFree").unwrap_or(0);
        Some(
            kib("MemAvailable")?
                .saturating_add(swap)
                .saturating_mul(1024),
        )
    }

    fn swap_free(&self) -> u64 {
        self.read("proc/meminfo")
            .and_then(|about| {
                field(&about, "SwapFree")?
                    .split(' ')
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .map_or(0, |kib| kib.saturating_mul(1024))
    }

    /// The memory that the limits of this process leave: address space and data.
    fn limits(&self) -> Option<u64> {
        let limits = self.read("proc/self/limits")?;
        let status = self.read("proc/self/status")?;
        let left = |limit: &str, used: &str| {
            let limit = limits.lines().find_map(|line| line.strip_prefix(limit))?;
            // “unlimited” is no number.
            let limit: u64 = limit.split_whitespace().next()?.parse().ok()?;
            let used: u64 = field(&status, used)?.split(' ').next()?.parse().ok()?;
            Some(limit.saturating_sub(used.saturating_mul(1024)))
        };
        [
            left("Max address space", "VmSize"),
            left("Max data size", "VmData"),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The memory that this process's control groups leave, each and those above it.
    fn cgroups(&self) -> Option<u64> {
        let groups = self.read("proc/self/cgroup")?;
        let mut least = None;
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':');
            let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let new = controllers.is_empty();
            if !new && !controllers.split(',').any(|name| name == "memory") {
                continue;
            }
            let top = Path::new("sys/fs/cgroup").join(if new { "" } else { "memory" });
            for group in above(&top, path) {
                let left = if new {
                    self.new_group(&group)
                } else {
                    self.old_group(&group)
                };
                least = least.into_iter().chain(left).min();
            }
        }
        least
    }

    /// Version 2.
    fn new_group(&self, group: &Path) -> Option<u64> {
        let limit = self.number(group.join("memory.max"))?;
        let used = self.number(group.join("memory.current"))?;
        let cached = self.given_back(group, "inactive_file");
        let swap = self
            .number(group.join("memory.swap.max"))
            .map(|limit| {
                let used = self.number(group.join("memory.swap.current")).unwrap_or(0);
                limit.saturating_sub(used)
            })
            .unwrap_or(u64::MAX)
            .min(self.swap_free());
        Some(
            limit
                .saturating_sub(used.saturating_sub(cached))
                .saturating_add(swap),
        )
    }

    /// Version 1.
    fn old_group(&self, group: &Path) -> Option<u64> {
        let limit = self.number(group.join("memory.limit_in_bytes"))?;
        if limit >= UNLIMITED {
            return None;
        }
        let used = self.number(group.join("memory.usage_in_bytes"))?;
        let cached = self.given_back(group, "total_inactive_file");
        Some(limit.saturating_sub(used.saturating_sub(cached)))
    }

    /// Pages of files that the kernel drops when memory is wanted.
    fn given_back(&self, group: &Path, name: &str) -> u64 {
        self.read(group.join("memory.stat"))
            .and_then(|stat| {
                stat.lines().find_map(|line| {
                    let (key, value) = line.split_once(' ')?;
                    (key == name).then(|| value.trim().parse().ok())?
                })
            })
            .unwrap_or(0)
    }
}

/// The value of a line `name: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then(|| value.trim())
    })
}

/// A group's folder and those above it. Seen from a container, a group's path may lead out of the mounted part; the
/// folder at the top is then the container's own.
fn above(top: &Path, path: &str) -> Vec<PathBuf> {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != "." && *part != "..")
        .take(LEVELS_MAX)
        .collect();
    (0..=parts.len())
        .map(|count| {
            let mut folder = top.to_owned();
            folder.extend(&parts[..count]);
            folder
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A system of these files.
    fn system(files: &[(&str, &str)]) -> Option<u64> {
        let root = std::env::temp_dir().join(format!(
            "safeos-memory-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let _ = fs::remove_dir_all(&root);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let free = free_in(&root);
        let _ = fs::remove_dir_all(&root);
        free.map(|bytes| (bytes + SPARE) / MIB)
    }

    const ROOMY: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       16000000 kB\nMemAvailable:    8388608 kB\nSwapFree:         102400 kB\n",
    );

    #[test]
    fn the_machine_and_nothing_known() {
        assert_eq!(system(&[ROOMY]), Some(8192 + 100));
        assert_eq!(system(&[]), None);
        assert_eq!(system(&[("proc/meminfo", "MemTotal: lots\n")]), None);
        // This very system, whatever it is.
        let _ = free();
    }

    #[test]
    fn a_new_group_and_those_above_it() {
        let group = |limit: &'static str| {
            vec![
                ROOMY,
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/memory.max", limit),
                ("sys/fs/cgroup/a/memory.current", "104857600\n"),
                (
                    "sys/fs/cgroup/a/memory.stat",
                    "anon 1\ninactive_file 41943040\n",
                ),
                ("sys/fs/cgroup/a/memory.swap.max", "10485760\n"),
                ("sys/fs/cgroup/a/memory.swap.current", "5242880\n"),
                ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ]
        };
        // 200 MiB, of which 100 are used, of which 40 come back; and 5 of swap.
        assert_eq!(system(&group("209715200\n")), Some(200 - 60 + 5));
        assert_eq!(system(&group("max\n")), Some(8292));
        // From inside a container the top is the group itself.
        let inside = [
            ROOMY,
            ("proc/self/cgroup", "0::/../../other\n"),
            ("sys/fs/cgroup/memory.max", "209715200\n"),
            ("sys/fs/cgroup/memory.current", "0\n"),
            ("sys/fs/cgroup/memory.swap.max", "0\n"),
        ];
        assert_eq!(system(&inside), Some(200));
    }

    #[test]
    fn an_old_group() {
        let group = |limit: &'static str| {
            vec![
                ROOMY,
                (
                    "proc/self/cgroup",
                    "12:cpu,cpuacct:/x\n5:memory:/docker/1\n1:name=systemd:/\n",
                ),
                ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", limit),
                (
                    "sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes",
                    "52428800\n",
                ),
                (
                    "sys/fs/cgroup/memory/docker/1/memory.stat",
                    "total_inactive_file 10485760\n",
                ),
            ]
        };
        assert_eq!(system(&group("209715200\n")), Some(160));
        assert_eq!(system(&group("9223372036854771712\n")), Some(8292));
    }

    #[test]
    fn limits_of_the_process() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max data size             unlimited            unlimited            bytes     \n\
                      Max address space         314572800            unlimited            bytes     \n";
        let status = "Name:\tsafed\nVmSize:\t  102400 kB\nVmData:\t   10240 kB\n";
        let files = [
            ROOMY,
            ("proc/self/limits", limits),
            ("proc/self/status", status),
        ];
        assert_eq!(system(&files), Some(200));
        let limits = limits.replace(
            "Max data size             unlimited ",
            "Max data size             31457280 ",
        );
        let files = [
            ROOMY,
            ("proc/self/limits", &*limits),
            ("proc/self/status", status),
        ];
        assert_eq!(system(&files), Some(20));
    }
}
