//! Requests a second of a gateway and of nginx for the same bytes, side by side in one run.
//!
//! `cargo run --release -p safeos-gateway-tests --example beside_nginx [-- SECONDS ROUNDS]`; nginx and wrk must be
//! installed. nginx serves files with sendfile and without a log; the gateway serves a `file:` store, from which every
//! record is read and verified for every request. Both get 64 connections of wrk on this computer.
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
        "| records | gateway, 1/s | nginx, 1/s | gateway, MB/s | ratio |\n|---|---|---|---|---|"
    );
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
        for _ in 0..rounds {
            ours.push(wrk(&root, &gateway.url(), seconds));
            theirs.push(wrk(&root, &nginx.url, seconds));
        }
        let (ours, theirs) = (middle(ours), middle(theirs));
        println!(
            "| {name} | {ours:.0} | {theirs:.0} | {:.0} | {:.2} |",
            ours * len as f64 / 1e6,
            ours / theirs
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
