//! Requests a second of a gateway and of nginx for the same bytes, side by side in one run.
//!
//! `cargo run --release -p safeos-gateway-tests --example beside_nginx [-- SECONDS ROUNDS]`; nginx and wrk must be
//! installed. nginx serves files with sendfile and without a log; the gateway serves a `file:` store, from which every
//! record is read for every request (and verified for the first). Both get 64 connections of wrk on this computer.
//! Where other things run as well, the processor time of a request says more than the requests of a second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use safeos_gateway::{Limits, Options, Server};
use safeos_gateway_tests::chunk;
use safeos_store::Store;

const CLIENTS: usize = 64;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse().unwrap());
    let (seconds, rounds) = (arguments.next().unwrap_or(8), arguments.next().unwrap_or(3));
    let folder = tempfile::tempdir().unwrap();
    // nginx's workers are of another user.
    make_open(folder.path());
    println!(
        "| records | gateway, 1/s | nginx, 1/s | ratio | gateway, ms of processor | nginx | ratio |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, len, count) in [("4 KiB", 4 << 10, 2000_u64), ("4 MiB", 4 << 20, 48)] {
        let root = folder.path().join(name.replace(' ', ""));
        let files = root.join("www/v1/chunks");
        fs::create_dir_all(&files).unwrap();
        let url = safeos_store::file_url(&root.join("store")).unwrap();
        let store = safeos_store::open(&url).unwrap();
        let mut script = "local paths = {\n".to_owned();
        for seed in 0..count {
            let chunk = chunk(seed, len);
            store.put_chunks(std::slice::from_ref(&chunk)).unwrap();
            fs::write(files.join(chunk.address().to_string()), chunk.bytes()).unwrap();
            writeln!(script, "\"/v1/chunks/{}\",", chunk.address()).unwrap();
        }
        script.push_str("}\nlocal n = 0\nrequest = function()\n n = n + 1\n return wrk.format(nil, paths[n % #paths + 1])\nend\n");
        fs::write(root.join("paths.lua"), script).unwrap();
        let nginx = Nginx::start(&root);
        let gateway = gateway(store);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (mut our_time, mut their_time) = (Vec::new(), Vec::new());
        let measure =
            |url: &str, busy: &dyn Fn() -> f64, rates: &mut Vec<f64>, times: &mut Vec<f64>| {
                let before = busy();
                let rate = wrk(&root, url, seconds);
                times.push((busy() - before) * 1000.0 / (rate * seconds as f64));
                rates.push(rate);
            };
        // Each record once before: the gateway verifies it then.
        wrk(&root, &gateway.url(), seconds);
        for _ in 0..rounds {
            measure(
                &gateway.url(),
                &|| busy(&["self".into()]),
                &mut ours,
                &mut our_time,
            );
            measure(
                &nginx.url,
                &|| busy(&nginx.workers()),
                &mut theirs,
                &mut their_time,
            );
        }
        let (ours, theirs) = (middle(ours), middle(theirs));
        let (our_time, their_time) = (middle(our_time), middle(their_time));
        println!(
            "| {name} | {ours:.0} | {theirs:.0} | {:.2} | {our_time:.3} | {their_time:.3} | {:.2} |",
            ours / theirs,
            their_time / our_time
        );
    }
}

fn gateway(store: Arc<dyn Store>) -> Server {
    let options = Options {
        limits: Limits {
            rate: 0,
            ..Limits::default()
        },
        ..Options::default()
    };
    Server::start(store, &options).unwrap()
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Requests a second; any answer but success ends the run.
fn wrk(root: &Path, url: &str, seconds: u64) -> f64 {
    let done = Command::new("wrk")
        .args([
            "-t",
            "2",
            "-c",
            &CLIENTS.to_string(),
            "-d",
            &format!("{seconds}s"),
            "-s",
        ])
        .arg(root.join("paths.lua"))
        .arg(url)
        .output()
        .expect("wrk is not installed: apt-get install wrk");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(!text.contains("Non-2xx"), "{text}");
    if let Some(errors) = text.lines().find(|line| line.contains("Socket errors")) {
        eprintln!("{url}: {}", errors.trim());
    }
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    line.unwrap_or_else(|| panic!("{text}"))
        .trim()
        .parse()
        .unwrap()
}

/// The processor time of these processes, in seconds.
fn busy(processes: &[String]) -> f64 {
    let ticks = |process: &String| -> Option<f64> {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    };
    // A hundredth of a second each, on every Linux there is.
    processes.iter().filter_map(ticks).sum::<f64>() / 100.0
}

struct Nginx {
    child: Child,
    url: String,
}

impl Nginx {
    fn start(root: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let place = root.display();
        let settings = format!(
            "daemon off; worker_processes auto; pid {place}/pid; error_log {place}/errors;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
             client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;\n\
             uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;\n\
             server {{ listen {address}; root {place}/www; }} }}\n"
        );
        fs::write(root.join("nginx.conf"), settings).unwrap();
        let child = Command::new("nginx")
            .arg("-e")
            .arg(root.join("errors"))
            .arg("-c")
            .arg(root.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is not installed: apt-get install nginx");
        std::thread::sleep(Duration::from_secs(1));
        Self {
            child,
            url: format!("http://{address}"),
        }
    }
}

impl Nginx {
    fn workers(&self) -> Vec<String> {
        let pid = self.child.id();
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        text.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It ends its workers when it is asked to.
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-QUIT", &pid]).status());
        drop(self.child.wait());
    }
}

fn make_open(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}
