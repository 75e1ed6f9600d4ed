//! The steps over the network, one after the other. Each reports figures where it has any.

use std::time::{Duration, Instant};

use orbital_login::job::Opened;
use orbital_login::keyboard::Key;
use orbital_login::state::{Kind, Target};
use safeos_guest_tests::PASSWORD;
use safeos_guest_tests::content::{content, sum};

use super::computer::{Linux, NAME};
use super::{Both, CARD, LINE, Sight, TLS_URL, URL};
use crate::{desktop, noise};

/// An ordinary user of the guest; no user on Linux has this number.
const UID: u32 = 1042;
const ROOT: u32 = 0;
/// For every operation of the guest: its processor is emulated, and this computer has other things to do too.
const LIMIT: Duration = Duration::from_secs(1800);
/// A little is enough to see that something goes wrong, and must not be too long to wait for.
const SMALL: usize = 30_000;
/// How much is read and written where speed counts.
const LARGE: usize = 20_000_000;
/// In parts of this length plain connections lose nothing.
const PART: usize = 48_000;
/// How often something is asked again that is to change.
const AGAIN: Duration = Duration::from_secs(1);

/// Made on Linux before the guest is started.
const FROM_LINUX: (&str, u64) = ("from-linux", 1);
/// Made by a program of the desktop.
const FROM_THE_SCREEN: (&str, u64) = ("from-the-screen", 2);

pub type Step = fn(&mut Both) -> Result<String, String>;

pub const STEPS: [(&str, Step); 13] = [
    ("the_guest_has_an_address", has_an_address),
    ("plain_connections_up_and_down", plain_lines),
    ("the_screen_signs_in_at_a_server", from_the_screen),
    ("a_command_signs_in_at_a_server", signs_in),
    ("what_linux_wrote_is_read", reads),
    ("what_is_written_is_read_on_linux", writes),
    (
        "a_gateway_that_is_away_is_told_and_comes_back",
        gateway_away,
    ),
    ("a_cable_out_while_publishing", cable_out_publishing),
    ("a_cable_out_while_reading", cable_out_reading),
    ("both_computers_edit_at_once", both_edit),
    ("the_same_with_tls", with_tls),
    ("the_power_goes_off", power_off),
    ("the_log_has_no_noise_of_ours", no_noise),
];

/// A home with something in it, before the guest knows of it.
pub fn written_on_linux(linux: &mut Linux, url: &str) -> Result<(), String> {
    linux.login(url)?;
    linux.write(FROM_LINUX.0, &content(FROM_LINUX.1, SMALL))?;
    linux.logout()
}

/// The arguments of the program in the desktop's menu.
pub fn desktop_program() -> String {
    // The launcher parts words at spaces and knows no quotes.
    format!(
        "network desktop {} {} {} {SMALL}",
        FROM_LINUX.0, FROM_THE_SCREEN.0, FROM_THE_SCREEN.1
    )
}

fn path(name: &str) -> String {
    format!("/scheme/safe/home/{name}")
}

/// Content written on one computer must be on the other.
fn same(what: &str, found: u64, wanted: u64) -> Result<(), String> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!(
            "{what}: the sum is {found:016x}, not {wanted:016x}"
        )),
    }
}

/// Checks the sum that `safe-guest network sum` has printed for content from a seed; returns how long reading took.
fn is_read(said: &str, seed: u64, length: usize) -> Result<f32, String> {
    let [found, count, seconds] = said.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("{said:?} is no sum"));
    };
    let found = u64::from_str_radix(found, 16).map_err(|error| format!("{said:?}: {error}"))?;
    same(
        &format!("{count} bytes"),
        found,
        sum(&content(seed, length)),
    )?;
    Ok(seconds.parse().unwrap_or(0.0))
}

/// Megabytes a second.
fn speed(length: usize, seconds: f32) -> String {
    format!("{:.1} MB/s", length as f32 / 1e6 / seconds.max(0.001))
}

impl Both {
    /// The guest's own program as the user.
    fn ours(&mut self, words: &[&str]) -> Result<String, String> {
        let words = [&["safe-guest", "network"], words].concat();
        self.console.must(UID, &words, LIMIT)
    }

    fn safe(&mut self, words: &[&str]) -> Result<String, String> {
        self.console.must(UID, &[&["safe"], words].concat(), LIMIT)
    }

    fn writes(&mut self, name: &str, seed: u64, length: usize) -> Result<(), String> {
        let (seed, length) = (seed.to_string(), length.to_string());
        self.ours(&["make", &path(name), &seed, &length]).map(drop)
    }

    /// Reads it on the guest; how long that took.
    fn reads(&mut self, name: &str, seed: u64, length: usize) -> Result<f32, String> {
        let said = self.ours(&["sum", &path(name)])?;
        is_read(&said, seed, length)
    }

    /// Reads it on Linux, in a session at the gateway there.
    fn linux_reads(
        &mut self,
        url: &str,
        name: &str,
        seed: u64,
        length: usize,
    ) -> Result<(), String> {
        self.linux.login(url)?;
        let found = sum(&self.linux.read(name)?);
        self.linux.logout()?;
        same(
            &format!("{name} on Linux"),
            found,
            sum(&content(seed, length)),
        )
    }

    /// Writes it on Linux and publishes.
    fn linux_writes(
        &mut self,
        url: &str,
        name: &str,
        seed: u64,
        length: usize,
    ) -> Result<(), String> {
        self.linux.login(url)?;
        self.linux.write(name, &content(seed, length))?;
        self.linux.logout()
    }

    fn cable(&mut self, is_in: bool) -> Result<(), String> {
        self.sight.monitor().cable(CARD, is_in)
    }

    /// Asks for the status until it is as it must be.
    fn status_comes_to(&mut self, is_it: impl Fn(&str) -> bool) -> Result<String, String> {
        let start = Instant::now();
        loop {
            let status = self.safe(&["status"])?;
            if is_it(&status) {
                return Ok(status);
            }
            if start.elapsed() > LIMIT {
                return Err(format!("the status stays at {status}"));
            }
            std::thread::sleep(AGAIN);
        }
    }
}

/// From the emulator's DHCP server. Until then nothing else works.
fn has_an_address(both: &mut Both) -> Result<String, String> {
    let start = Instant::now();
    loop {
        let asked = ["cat", "/scheme/netcfg/ifaces/eth0/addr/list"];
        let said = both.console.run(ROOT, &asked, LIMIT)?;
        if said.well && said.text.contains("10.0.2.") {
            return Ok(String::new());
        }
        if start.elapsed() > LIMIT {
            return Err(format!("no address: {}", said.text));
        }
        std::thread::sleep(AGAIN);
    }
}

/// The abilities of the guest's network without us.
fn plain_lines(both: &mut Both) -> Result<String, String> {
    let length = LARGE / PART * PART;
    let (bytes, parts) = (length.to_string(), PART.to_string());
    let seconds = |said: String| {
        said.trim()
            .parse()
            .map_err(|_| format!("{said:?} is no time"))
    };
    let up: f32 = seconds(both.ours(&["send", LINE, &bytes, &parts])?)?;
    let down: f32 = seconds(both.ours(&["receive", LINE, &bytes])?)?;
    Ok(format!(
        "; up in answered parts {}, down {}",
        speed(length, up),
        speed(length, down)
    ))
}

/// The person types the server's address, has the home on the desktop, and signs out.
fn from_the_screen(both: &mut Both) -> Result<String, String> {
    let Sight::Screen(screen) = &mut both.sight else {
        return Ok("; left out: the image has no desktop".to_owned());
    };
    screen.shows_it(desktop::START_MAX)?;
    screen.write(NAME)?;
    desktop::goes_to(screen, Target::Places, Key::Tab)?;
    screen.press(Key::Enter)?;
    desktop::goes_to(screen, Target::AccountStore(Kind::Server), Key::Tab)?;
    screen.press(Key::Enter)?;
    desktop::goes_to(screen, Target::Server, Key::Tab)?;
    screen.write(URL)?;
    screen.press(Key::Enter)?;
    screen.write(PASSWORD)?;
    screen.keep("server")?;
    screen.press(Key::Enter)?;
    let opened = Opened {
        account: NAME.to_owned(),
        store: URL.to_owned(),
        ..Opened::default()
    };
    desktop::opens(screen, opened)?;
    desktop::starts_the_program(screen)?;
    let read = both
        .console
        .hears("guest: desktop read ", desktop::PROGRAM_MAX)?;
    let said = read.trim_start_matches("guest: desktop read ");
    is_read(said, FROM_LINUX.1, SMALL)?;
    both.console
        .hears("guest: desktop wrote", desktop::PROGRAM_MAX)?;
    desktop::leaves(screen)?;
    let url = both.url.clone();
    both.linux_reads(&url, FROM_THE_SCREEN.0, FROM_THE_SCREEN.1, SMALL)?;
    Ok(String::new())
}

fn signs_in(both: &mut Both) -> Result<String, String> {
    let url = both.url.clone();
    both.linux_writes(&url, "large", 3, LARGE)?;
    both.safe(&["login", NAME, "--store", URL])?;
    both.reads(FROM_LINUX.0, FROM_LINUX.1, SMALL)?;
    Ok(String::new())
}

fn reads(both: &mut Both) -> Result<String, String> {
    let seconds = both.reads("large", 3, LARGE)?;
    Ok(format!("; down {}", speed(LARGE, seconds)))
}

fn writes(both: &mut Both) -> Result<String, String> {
    both.writes("from redox", 4, LARGE)?;
    let start = Instant::now();
    both.safe(&["sync"])?;
    let seconds = start.elapsed().as_secs_f32();
    let url = both.url.clone();
    both.linux_reads(&url, "from redox", 4, LARGE)?;
    Ok(format!("; up {}", speed(LARGE, seconds)))
}

fn is_away(status: &str) -> bool {
    status.contains("(out of reach now)")
}

fn gateway_away(both: &mut Both) -> Result<String, String> {
    both.gateway.kill();
    both.writes("meanwhile", 5, SMALL)?;
    let sync = both.console.run(UID, &["safe", "--json", "sync"], LIMIT)?;
    if sync.well || !sync.text.contains("store_unreachable") {
        return Err(format!("syncing without a gateway says {:?}", sync.text));
    }
    both.status_comes_to(is_away)?;
    both.reads("meanwhile", 5, SMALL)?;
    both.gateway.start()?;
    both.safe(&["sync"])?;
    both.status_comes_to(|status| !is_away(status))?;
    let url = both.url.clone();
    both.linux_reads(&url, "meanwhile", 5, SMALL)?;
    Ok(String::new())
}

/// Out as soon as the publish has begun, and in again when the guest has noticed or half a minute later.
fn cable_out_publishing(both: &mut Both) -> Result<String, String> {
    both.writes("on the way up", 6, LARGE)?;
    let sync = both.console.start(UID, &["safe", "sync"])?;
    let runs = both.console.still_runs(sync, Duration::from_millis(300))?;
    both.cable(false)?;
    both.console.still_runs(sync, Duration::from_secs(30))?;
    let status = both.safe(&["status"]);
    both.cable(true)?;
    let ended = both.console.end(sync, LIMIT)?;
    // It answers while the cable is out, too.
    status?;
    both.safe(&["sync"])?;
    let url = both.url.clone();
    both.linux_reads(&url, "on the way up", 6, LARGE)?;
    Ok(what_became("the sync", runs, ended.well))
}

/// Whether something was under way when the cable was pulled, and went on by itself; both may be.
fn what_became(what: &str, ran: bool, well: bool) -> String {
    match (ran, well) {
        (false, _) => format!("; {what} was quicker than the hand on the cable"),
        (true, true) => format!("; {what} under way went on"),
        (true, false) => format!("; {what} under way failed, and the next one did not"),
    }
}

fn cable_out_reading(both: &mut Both) -> Result<String, String> {
    let url = both.url.clone();
    both.linux_writes(&url, "on the way down", 7, LARGE)?;
    both.safe(&["sync"])?;
    let words = ["safe-guest", "network", "sum", &path("on the way down")];
    let read = both.console.start(UID, &words)?;
    let runs = both.console.still_runs(read, Duration::from_millis(300))?;
    both.cable(false)?;
    both.console.still_runs(read, Duration::from_secs(10))?;
    both.cable(true)?;
    let ended = both.console.end(read, LIMIT)?;
    both.reads("on the way down", 7, LARGE)?;
    Ok(what_became("the reading", runs, ended.well))
}

/// Each computer changes a file of its own and one that both have.
fn both_edit(both: &mut Both) -> Result<String, String> {
    let url = both.url.clone();
    both.writes("of both", 10, SMALL)?;
    both.safe(&["sync"])?;
    both.linux.login(&url)?;
    // Now both have it open to change.
    both.linux.write("only linux", &content(11, SMALL))?;
    both.linux.write("of both", &content(12, SMALL))?;
    both.writes("only redox", 13, SMALL)?;
    both.writes("of both", 14, SMALL)?;
    let sync = both.console.start(UID, &["safe", "sync"])?;
    both.linux.safe(&["sync"])?;
    let ended = both.console.end(sync, LIMIT)?;
    if !ended.well {
        return Err(format!("the guest's sync failed: {}", ended.text));
    }
    // The first to publish sees the other's changes with the next sync.
    both.linux.safe(&["sync"])?;
    both.safe(&["sync"])?;
    both.reads("only linux", 11, SMALL)?;
    let mut names = both.linux.names()?;
    names.retain(|name| name.starts_with("of both"));
    names.sort();
    let mut sums = Vec::new();
    for name in &names {
        sums.push(sum(&both.linux.read(name)?));
        let said = both.ours(&["sum", &path(name)])?;
        let on_redox = said.split_whitespace().next().unwrap_or_default();
        if on_redox != format!("{:016x}", sums[sums.len() - 1]) {
            return Err(format!("{name} differs between the computers: {said}"));
        }
    }
    let mut wanted = [12, 14].map(|seed| sum(&content(seed, SMALL))).to_vec();
    sums.sort_unstable();
    wanted.sort_unstable();
    let only = sum(&both.linux.read("only redox")?);
    both.linux.logout()?;
    same("only redox on Linux", only, sum(&content(13, SMALL)))?;
    match sums == wanted {
        true => Ok(String::new()),
        false => Err(format!("of the file that both changed there are {names:?}")),
    }
}

fn with_tls(both: &mut Both) -> Result<String, String> {
    both.safe(&["logout"])?;
    let url = both.tls_url.clone();
    both.linux_writes(&url, "large with tls", 20, LARGE)?;
    both.safe(&["login", NAME, "--store", TLS_URL])?;
    let down = both.reads("large with tls", 20, LARGE)?;
    both.writes("from redox with tls", 21, LARGE)?;
    let start = Instant::now();
    both.safe(&["sync"])?;
    let up = start.elapsed().as_secs_f32();
    both.linux_reads(&url, "from redox with tls", 21, LARGE)?;
    both.safe(&["logout"])?;
    Ok(format!(
        "; up {}, down {}",
        speed(LARGE, up),
        speed(LARGE, down)
    ))
}

fn power_off(both: &mut Both) -> Result<String, String> {
    // Nothing is left to report that it was done.
    both.console.start(ROOT, &["shutdown"])?;
    match both.console.machine.off(LIMIT) {
        Some(status) if status.success() => Ok(String::new()),
        Some(status) => Err(format!("the emulator ended with {status}")),
        None => Err("the power stays on".to_owned()),
    }
}

/// No program tried to take `safe` away.
fn no_noise(both: &mut Both) -> Result<String, String> {
    noise::look(&both.log, Some(0)).map(|()| String::new())
}
