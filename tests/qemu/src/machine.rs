//! The emulated computer, and its serial line.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const EMULATOR: &str = "qemu-system-x86_64";
const MEMORY_MIB: &str = "2048";
/// A line longer than this is cut: it is nothing of ours.
const LINE_MAX: usize = 4096;
/// The first line of Redox's kernel.
const STARTS: &str = "Redox OS starting";
/// From the power going on to that.
const START_MAX: Duration = Duration::from_secs(600);
/// How often Enter is pressed until then.
const ENTER_EVERY: Duration = Duration::from_secs(1);

/// The parts of a computer.
pub struct Parts<'a> {
    /// Its disk.
    pub disk: &'a Path,
    /// The firmware to start with, where QEMU's own will not do.
    pub firmware: Option<&'a Path>,
    /// Everything it says goes there too.
    pub log: &'a Path,
    /// Whether it has a screen.
    pub screen: bool,
    /// The socket that keyboard, mouse, screen and cable are reached through.
    pub monitor: Option<&'a Path>,
    /// QEMU's words for its network; none without.
    pub network: Option<String>,
}

/// A running computer.
pub struct Machine {
    child: Child,
    console: ChildStdin,
    lines: Receiver<String>,
}

impl Machine {
    /// Starts it without a window.
    pub fn start(parts: &Parts<'_>) -> Result<Self, String> {
        let mut command = Command::new(EMULATOR);
        // Redox does not start in the KVM of a virtual machine, and not with two emulated processors. The processor has
        // a random source; without one the daemon makes no keys.
        command.args([
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max",
            "-machine",
            // Redox would take a mouse by that port which the monitor does not move.
            "q35,vmport=off",
        ]);
        command.args(["-smp", "1", "-m", MEMORY_MIB]);
        command
            .arg("-nic")
            .arg(parts.network.as_deref().unwrap_or("none"));
        command.args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ]);
        command.args(["-device", "nvme,drive=disk,serial=safeos", "-drive"]);
        command.arg(format!(
            "file={},format=raw,if=none,id=disk",
            parts.disk.display()
        ));
        // Without a screen the boot loader does not ask for a resolution.
        command.args(["-vga", if parts.screen { "std" } else { "none" }]);
        if parts.screen {
            // Every computer that starts this sees the same time, and no message that its own clock is wrong.
            command.args(["-rtc", "base=2026-12-01T12:00:00"]);
        }
        if let Some(socket) = parts.monitor {
            let socket = socket.display();
            command.args(["-qmp", &format!("unix:{socket},server=on,wait=off")]);
        }
        if let Some(firmware) = parts.firmware {
            command.arg("-bios").arg(firmware);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| format!("{EMULATOR} cannot be started: {error}"))?;
        let output = child.stdout.take().ok_or("no serial line")?;
        let console = child.stdin.take().ok_or("no serial line")?;
        let mut log =
            File::create(parts.log).map_err(|error| format!("{}: {error}", parts.log.display()))?;
        let (say, lines) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            loop {
                line.clear();
                match output.read_until(b'\n', &mut line) {
                    Ok(1..) => {}
                    _ => break,
                }
                let _ = log.write_all(&line);
                line.truncate(LINE_MAX);
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if say.send(text).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            console,
            lines,
        })
    }

    /// Types a text at the serial console.
    pub fn say(&mut self, text: &str) -> Result<(), String> {
        self.console
            .write_all(text.as_bytes())
            .and_then(|()| self.console.flush())
            .map_err(|error| format!("the serial line: {error}"))
    }

    /// The next line, before `until`; `None` when the time is over, an error when the computer is off.
    pub fn line(&self, until: Instant) -> Result<Option<String>, Off> {
        let left = until.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Off),
        }
    }

    /// Waits until Redox starts. `enter` presses Enter: with a screen the boot loader waits for it in its menu of
    /// resolutions, and the time when the menu appears is unknown.
    pub fn starts(&self, mut enter: impl FnMut() -> Result<(), String>) -> Result<(), String> {
        let until = Instant::now() + START_MAX;
        loop {
            match self.line(Instant::now() + ENTER_EVERY) {
                Ok(Some(line)) if line.contains(STARTS) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) if Instant::now() > until => {
                    return Err(format!("Redox did not start in {} s", START_MAX.as_secs()));
                }
                Ok(None) => enter()?,
                Err(Off) => return Err("the computer went off".to_owned()),
            }
        }
    }

    /// Waits until something was said; an error if that is that a program has broken off.
    pub fn hears(&self, text: &str, limit: Duration) -> Result<(), String> {
        self.said(text, limit).map(drop)
    }

    /// The same; the whole line.
    pub fn said(&self, text: &str, limit: Duration) -> Result<String, String> {
        let until = Instant::now() + limit;
        loop {
            match self.line(until) {
                Ok(Some(line)) if line.contains(text) => return Ok(line),
                Ok(Some(line)) if line.contains("panicked at") => {
                    let why = self.line(Instant::now() + Duration::from_secs(2));
                    let why = why.ok().flatten().unwrap_or_default();
                    return Err(format!("{line} {why}"));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err(format!("nobody said {text:?} in {} s", limit.as_secs())),
                Err(Off) => return Err("the computer went off".to_owned()),
            }
        }
    }

    /// Waits for the power to go off; `None` if it stays on.
    pub fn off(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

/// The computer is off.
pub struct Off;

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
