//! A Redox and a Linux that share an account over a network: the guest's only way out is a gateway on this computer.
//!
//! What always holds here: no byte leaves this computer; nothing is waited for without a limit, and no time that
//! something takes is a condition.

mod computer;
mod console;
mod join;
mod line;
mod steps;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use join::{JOIN, join};

use crate::machine::{Machine, Parts};
use crate::monitor::Monitor;
use crate::report::Report;
use crate::screen::Screen;
use crate::{Arguments, disk};
use computer::{Gateway, Linux};
use console::Console;

/// The name of this suite.
pub const NETWORK: &str = "network";
/// The one address that the guest reaches.
const FAR: &str = "10.0.2.100";
/// Its ports: the gateway, the gateway with TLS, and the plain line.
const PORTS: [u16; 3] = [8420, 8421, 8422];
/// QEMU's name for the card.
const CARD: &str = "card";

/// Where the gateways are, as the guest names them.
const URL: &str = "http://10.0.2.100:8420";
const TLS_URL: &str = "https://10.0.2.100:8421";
const LINE: &str = "10.0.2.100:8422";

/// The guest's screen, or only its cable.
enum Sight {
    Screen(Box<Screen>),
    Cable(Monitor),
}

impl Sight {
    fn monitor(&mut self) -> &mut Monitor {
        match self {
            Self::Screen(screen) => &mut screen.monitor,
            Self::Cable(monitor) => monitor,
        }
    }
}

/// Both computers and the line between them.
struct Both {
    console: Console,
    sight: Sight,
    linux: Linux,
    log: PathBuf,
    gateway: Gateway,
    /// Kept running.
    _tls: Gateway,
    /// The gateways' addresses on this computer.
    url: String,
    tls_url: String,
}

/// Runs the steps until one fails.
pub fn test(arguments: &Arguments, report: &mut Report) -> Result<(), String> {
    let work = arguments.work.join(NETWORK);
    let pictures = arguments.pictures.join(NETWORK);
    for folder in [&work, &pictures] {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut both = start(arguments, &work, &pictures)?;
    for (name, step) in steps::STEPS {
        let named = format!("{NETWORK}::{name}");
        let begun = Instant::now();
        match step(&mut both) {
            Ok(figures) => {
                let took = format!("{:.1} s{figures}", begun.elapsed().as_secs_f32());
                report.passed(&named, &took);
            }
            Err(message) => {
                let mut said = vec![message];
                if let Sight::Screen(screen) = &mut both.sight {
                    said.extend(screen.keep("failed").err());
                }
                report.failed(&named, &said);
                println!("the serial log: {}", both.log.display());
                break;
            }
        }
    }
    Ok(())
}

fn start(arguments: &Arguments, work: &Path, pictures: &Path) -> Result<Both, String> {
    let programs = arguments
        .host_programs
        .as_deref()
        .ok_or("the tests over a network want --host-programs")?;
    let (chain, key) = certificate(work)?;
    let gateway = Gateway::new(programs, work, None)?;
    let tls = Gateway::new(programs, work, Some((&chain, &key)))?;
    let own = |gateway: &Gateway| gateway.address.ok_or("a gateway without an address");
    let (near, near_tls) = (own(&gateway)?, own(&tls)?);
    let line = line::listen().map_err(|error| format!("a plain line: {error}"))?;
    let (url, tls_url) = (format!("http://{near}"), format!("https://{near_tls}"));
    let mut linux = Linux::new(programs, work, &chain)?;
    linux.safe(&["signup", computer::NAME, "--store", &url, "--small-memory"])?;
    steps::written_on_linux(&mut linux, &url)?;

    let copy = disk::copy(&arguments.image, work)?;
    let screen = disk::has_desktop(&copy)?;
    let ca_file =
        fs::read_to_string(&chain).map_err(|error| format!("the certificate: {error}"))?;
    let program = steps::desktop_program();
    let purpose = disk::Purpose::Network {
        ca_file: &ca_file,
        program: screen.then_some(program.as_str()),
    };
    disk::put(&copy, &arguments.programs, &purpose)?;
    let socket = work.join("monitor");
    let log = pictures.join("serial.log");
    let machine = Machine::start(&Parts {
        disk: &copy,
        firmware: arguments.firmware.as_deref(),
        log: &log,
        screen,
        monitor: Some(&socket),
        network: Some(network([near, near_tls, line])?),
    })?;
    let mut monitor = Monitor::connect(&socket, work)?;
    if screen {
        machine.starts(|| monitor.keys(&["ret"]))?;
    }
    let console = Console::connect(machine)?;
    let sight = if screen {
        Sight::Screen(Box::new(Screen::new(monitor, pictures)))
    } else {
        Sight::Cable(monitor)
    };
    Ok(Both {
        console,
        sight,
        linux,
        log,
        gateway,
        _tls: tls,
        url,
        tls_url,
    })
}

/// QEMU's words for a network in which there is nothing but our servers. For each connection it starts this program
/// again, as what joins the two.
fn network(servers: [SocketAddr; 3]) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|error| format!("the own program: {error}"))?;
    // A comma would end the word.
    let own = own.display().to_string().replace(',', ",,");
    let mut words = format!("user,id={CARD},model=e1000,restrict=on");
    for (port, server) in PORTS.into_iter().zip(servers) {
        words.push_str(&format!(
            ",guestfwd=tcp:{FAR}:{port}-cmd:'{own}' {JOIN} {server}"
        ));
    }
    Ok(words)
}

/// A certificate for the name that the guest knows the gateway by and for the one that Linux does; its key.
fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf), String> {
    let names = [FAR, "127.0.0.1"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| format!("no certificate can be made: {error}"))?;
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    fs::write(&chain, made.cert.pem())
        .and_then(|()| fs::write(&key, made.signing_key.serialize_pem()))
        .and_then(|()| fs::set_permissions(&key, fs::Permissions::from_mode(0o600)))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok((chain, key))
}
