//! How this computer is: its name, whether it is connected, its battery.
//!
//! What always holds here: what cannot be read is not known, and nothing is said of it. It is read on a thread of its own,
//! so that a file that does not answer holds nobody.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::state::{Computer, Event, Tell};

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Longer than any of these files.
const LENGTH_MAX: usize = 256;
/// Where Linux tells of its network cards and its power supplies.
const CARDS: &str = "/sys/class/net";
const SUPPLIES: &str = "/sys/class/power_supply";
/// Where Redox tells of the addresses that it has.
const ADDRESSES: &str = "/scheme/netcfg/ifaces/eth0/addr/list";

/// Tells of it, and again whenever it has changed.
pub fn watch(tell: Tell) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("computer".to_owned());
    thread.spawn(move || {
        let mut told = Computer::default();
        loop {
            let now = look();
            if now != told {
                told = now.clone();
                tell(Event::Computer(now));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    })?;
    Ok(())
}

fn look() -> Computer {
    let name = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| read(Path::new(path)));
    let online = match cfg!(target_os = "redox") {
        true => read(Path::new(ADDRESSES)).map(|list| has_address(&list)),
        false => is_connected(Path::new(CARDS)),
    };
    Computer {
        name: name.unwrap_or_default(),
        online,
        battery: battery(Path::new(SUPPLIES)),
    }
}

/// The first line of a small file, if there is something on it.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    (!line.is_empty() && line.len() <= LENGTH_MAX).then_some(line)
}

/// Whether a card other than the computer's own loop is connected; `None`: there is none.
fn is_connected(cards: &Path) -> Option<bool> {
    let mut any = None;
    for entry in fs::read_dir(cards).ok()?.flatten() {
        if entry.file_name() == "lo" {
            continue;
        }
        // Tunnels and the like do not know, and are connected when what they go through is.
        match read(&entry.path().join("operstate")).as_deref() {
            Some("up") => return Some(true),
            Some("unknown") | None => {}
            Some(_) => any = Some(false),
        }
    }
    any
}

/// Whether one of the addresses of a list is one that others can reach.
fn has_address(list: &str) -> bool {
    list.split_whitespace()
        .filter_map(|entry| entry.split('/').next()?.parse::<std::net::Ipv4Addr>().ok())
        .any(|address| !address.is_unspecified() && !address.is_loopback())
}

/// How full the batteries are that the computer itself runs on: of several the mean.
fn battery(supplies: &Path) -> Option<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(supplies).ok()?.flatten() {
        let of = |name: &str| read(&entry.path().join(name));
        // That of a mouse says it is a device's.
        if of("type").as_deref() != Some("Battery") || of("scope").as_deref() == Some("Device") {
            continue;
        }
        all.extend(of("capacity").and_then(|text| text.parse::<u32>().ok()));
    }
    let mean = all.iter().sum::<u32>().checked_div(all.len() as u32)?;
    u8::try_from(mean.min(100)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn a_battery_is_the_computers_own() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(battery(folder.path()), None);
        assert_eq!(battery(Path::new("/nowhere")), None);
        write(
            folder.path(),
            &[
                ("AC/type", "Mains\n"),
                ("BAT0/type", "Battery\n"),
                ("BAT0/capacity", "84\n"),
                ("mouse/type", "Battery\n"),
                ("mouse/scope", "Device\n"),
                ("mouse/capacity", "3\n"),
            ],
        );
        assert_eq!(battery(folder.path()), Some(84));
        write(
            folder.path(),
            &[("BAT1/type", "Battery"), ("BAT1/capacity", "120")],
        );
        assert_eq!(battery(folder.path()), Some(100));
        write(folder.path(), &[("BAT0/capacity", "full")]);
        assert_eq!(battery(folder.path()), Some(100));
    }

    #[test]
    fn it_is_connected_by_any_card() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("lo/operstate", "unknown")]);
        assert_eq!(is_connected(folder.path()), None);
        write(
            folder.path(),
            &[
                ("wlan0/operstate", "down\n"),
                ("tun0/operstate", "unknown\n"),
            ],
        );
        assert_eq!(is_connected(folder.path()), Some(false));
        write(folder.path(), &[("eth0/operstate", "up\n")]);
        assert_eq!(is_connected(folder.path()), Some(true));
        assert!(has_address("10.0.2.15/24") && !has_address("127.0.0.1/8"));
        assert!(!has_address("Not configured") && !has_address("0.0.0.0/0"));
    }
}
