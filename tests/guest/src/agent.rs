//! Does what it is told over the serial line, for tests whose other half is outside: a gateway, another computer, a
//! cable. Several orders may run at once.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use safeos_guest_tests::PASSWORD;
use safeos_guest_tests::order::Order;

use crate::account::make_home;
use crate::runner::run_for;

/// The serial line.
const CONSOLE: &str = "/scheme/debug";
/// An order that lasts longer never ends. Its sender waits less.
const LIMIT: Duration = Duration::from_secs(3600);

/// Works until the computer is turned off.
pub fn serve() {
    let console = File::open(CONSOLE).expect(CONSOLE);
    println!("guest: ready");
    for line in BufReader::new(console).split(b'\n') {
        let line = line.expect(CONSOLE);
        if let Some(order) = Order::parse(&String::from_utf8_lossy(&line)) {
            std::thread::spawn(move || obey(&order));
        }
    }
}

fn obey(order: &Order) {
    let home = make_home(order.uid);
    let mut command = Command::new(&order.words[0]);
    command.args(&order.words[1..]);
    command.uid(order.uid).gid(order.uid);
    command.env("SAFE_PASSWORD_FILE", password(&home, order.uid));
    command.env("HOME", &home).current_dir(&home);
    let (status, said) = run_for(&mut command, LIMIT);
    let mut text = String::new();
    for line in said.lines() {
        text.push_str(&format!("guest| {} {line}\n", order.number));
    }
    let code = match status {
        Some(status) => status
            .code()
            .map_or("signal".to_owned(), |code| code.to_string()),
        None => "never".to_owned(),
    };
    text.push_str(&format!("guest: done {} {code}\n", order.number));
    // Line by line: output of others stands between lines then, and not in them.
    let mut out = std::io::stdout().lock();
    for line in text.split_inclusive('\n') {
        let _ = out.write_all(line.as_bytes());
    }
}

/// A file with the password that is that user's alone, in a folder of the user's.
fn password(home: &str, uid: u32) -> String {
    let file = format!("{home}/password");
    if !Path::new(&file).exists() {
        fs::write(&file, PASSWORD).expect(&file);
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect(&file);
        chown(&file, Some(uid), Some(uid)).expect(&file);
    }
    file
}
