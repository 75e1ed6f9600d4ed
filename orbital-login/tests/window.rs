//! The real window on a screen that nobody sees: signs up, runs a launcher that writes into its HOME, signs in
//! again and finds what was written.
//!
//! Needs Xvfb and xdotool; without them it says so and passes. `SAFEOS_SCREENSHOTS=DIR` keeps pictures.
#![cfg(feature = "sdl")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orbital_login::geometry::Rect;
use orbital_login::layout::{Look, Part};
use orbital_login::paint::Painter;
use orbital_login::settings::Settings;
use orbital_login::state::{Abilities, State};
use orbital_login::view::view;

const LIMIT: Duration = Duration::from_secs(120);
const SIZE: (usize, usize) = (1280, 800);
const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "another horse battery";

/// Ends with the test, however that ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: a signal to a child that was not waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        let _ = self.0.wait();
    }
}

/// Not through the test harness, which shows what a test prints only when it fails.
fn skipped() {
    let why = "the window of the sign-in screen needs Xvfb and xdotool";
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

struct Screen {
    server: Program,
    display: String,
    folder: PathBuf,
    shots: Option<PathBuf>,
}

impl Screen {
    /// A screen, if there can be one here.
    fn new(folder: &Path) -> Option<Self> {
        let mut command = Command::new("Xvfb");
        command
            .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
            .arg(format!("{}x{}x24", SIZE.0, SIZE.1))
            .arg("-fbdir")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut server = Program(command.spawn().ok()?);
        let mut number = String::new();
        BufReader::new(server.0.stdout.take()?)
            .read_line(&mut number)
            .ok()?;
        let works = Command::new("xdotool")
            .arg("version")
            .stdout(Stdio::null())
            .status();
        if number.trim().is_empty() || works.is_err() {
            return None;
        }
        Some(Self {
            server,
            display: format!(":{}", number.trim()),
            folder: folder.to_owned(),
            shots: std::env::var_os("SAFEOS_SCREENSHOTS").map(PathBuf::from),
        })
    }

    fn xdotool(&self, arguments: &[&str]) {
        let status = Command::new("xdotool")
            .args(arguments)
            .env("DISPLAY", &self.display)
            .status()
            .unwrap();
        assert!(status.success(), "xdotool {arguments:?}");
    }

    fn write(&self, text: &str) {
        self.xdotool(&["type", "--delay", "15", text]);
    }

    fn key(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    /// The picture: red, green and blue of each pixel. The server keeps it in a file as `xwd` writes them.
    fn pixels(&self) -> Vec<u8> {
        let file = fs::read(self.folder.join("Xvfb_screen0")).unwrap();
        let number =
            |index: usize| u32::from_be_bytes(file[index * 4..][..4].try_into().unwrap()) as usize;
        let (header, line, colours) = (number(0), number(12), number(19));
        let data = &file[header + colours * 12..];
        (0..SIZE.1)
            .flat_map(|y| data[y * line..][..SIZE.0 * 4].chunks_exact(4))
            .flat_map(|pixel| [pixel[2], pixel[1], pixel[0]])
            .collect()
    }

    /// Waits until nothing has moved for a while.
    #[track_caller]
    fn until_still(&self) {
        let (start, mut before, mut since) = (Instant::now(), self.pixels(), Instant::now());
        while since.elapsed() < Duration::from_secs(2) {
            assert!(start.elapsed() < LIMIT, "something goes on moving");
            std::thread::sleep(Duration::from_millis(100));
            let now = self.pixels();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
    }

    fn shot(&self, name: &str) {
        let Some(folder) = &self.shots else { return };
        fs::create_dir_all(folder).unwrap();
        let file = fs::File::create(folder.join(format!("{name}.png"))).unwrap();
        let mut encoder = png::Encoder::new(file, SIZE.0 as u32, SIZE.1 as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&self.pixels())
            .unwrap();
    }

    /// Whether the sign-in screen is there; the launcher of this test shows nothing.
    fn shows_something(&self) -> bool {
        self.pixels().iter().any(|value| *value > 100)
    }
}

#[track_caller]
fn eventually(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LIMIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}

fn settle() {
    std::thread::sleep(Duration::from_millis(400));
}

/// Clock ticks of processor time that a process and its threads have used.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest: Vec<&str> = stat[stat.rfind(')').unwrap() + 1..]
        .split_whitespace()
        .collect();
    rest[11].parse::<u64>().unwrap() + rest[12].parse::<u64>().unwrap()
}

fn child_of(pid: u32) -> Option<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    fs::read_to_string(path)
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn mounts_in(folder: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts
        .lines()
        .filter(|line| line.contains(folder.to_str().unwrap()))
        .count()
}

#[test]
fn sign_up_run_end_and_sign_in_again() {
    let place = tempfile::tempdir().unwrap();
    let Some(screen) = Screen::new(place.path()) else {
        skipped();
        return;
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_orbital-login"));
    let safe = binary.with_file_name("safe");
    assert!(
        safe.is_file() && binary.with_file_name("safed").is_file(),
        "safe and safed are not built: cargo build -p safe -p safed"
    );
    let out = place.path().join("out");
    let temporary = place.path().join("tmp");
    fs::create_dir(&out).unwrap();
    fs::create_dir(&temporary).unwrap();
    let password = place.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    // Processes that it leaves must end; files that it copies must be there the next time. The second time it makes a
    // recovery sheet.
    let launcher = format!(
        "set -e
         if [ -f note ]; then cp note '{out}/again'; else echo kept > note; (trap '' HUP TERM; sleep 300) & echo $! > '{out}/left'; fi
         env > '{out}/env'; touch '{out}/ran'
         if [ -f '{out}/again' ] && [ ! -f '{out}/sheet' ]; then SAFE_PASSWORD_FILE='{password}' '{safe}' --json recovery-sheet > '{out}/new'; mv '{out}/new' '{out}/sheet'; fi
         while [ ! -f '{out}/end' ]; do sleep 0.05; done; rm '{out}/end'",
        out = out.display(),
        password = password.display(),
        safe = safe.display(),
    );
    let mut command = Command::new(binary);
    command
        .args(["--size", "1280x800", "sh", "-c", &launcher])
        .env("DISPLAY", &screen.display)
        .env("SAFE_STATE", place.path().join("state"))
        .env(
            "SAFE_STORE",
            format!("file://{}", place.path().join("store").display()),
        )
        .env("TMPDIR", &temporary)
        .env("SDL_VIDEODRIVER", "x11")
        .env("LC_ALL", "C")
        .env_remove("XDG_RUNTIME_DIR")
        .process_group(0);
    let login = Program(command.spawn().unwrap());
    eventually("the window opens", || screen.shows_something());
    settle();
    screen.shot("1-sign-in");

    // With the keyboard alone.
    for _ in 0..6 {
        screen.key("Tab");
    }
    screen.key("Return");
    screen.write("Ana");
    screen.key("Return");
    screen.write(PASSWORD);
    screen.key("Return");
    screen.write(PASSWORD);
    settle();
    screen.shot("2-create");
    screen.key("Return");
    settle();
    screen.shot("3-sheet");
    screen.key("Tab");
    screen.key("Return");
    settle();
    screen.shot("3-creating");
    eventually("the launcher runs", || out.join("ran").exists());
    let variables = fs::read_to_string(out.join("env")).unwrap();
    let home = variables
        .lines()
        .find_map(|line| line.strip_prefix("HOME="))
        .unwrap();
    // The same at every sign-in.
    assert_eq!(Path::new(home), place.path().join("state/mnt/home"));
    assert!(variables.contains("USER=Ana\n") && !variables.contains("SDL_VIDEODRIVER"));
    eventually("the window goes", || !screen.shows_something());
    fs::remove_file(out.join("ran")).unwrap();
    fs::write(out.join("end"), "").unwrap();
    eventually("the window comes back", || screen.shows_something());
    settle();
    screen.shot("4-signing-out");
    let left: i32 = fs::read_to_string(out.join("left"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    eventually("what was left running ends", || {
        !Path::new(&format!("/proc/{left}")).exists()
    });
    std::thread::sleep(Duration::from_secs(2));
    screen.shot("5-signed-out");

    // Nobody does anything: nothing is computed.
    let inner = child_of(login.0.id()).unwrap();
    let before = ticks(inner);
    std::thread::sleep(Duration::from_secs(3));
    let idle = ticks(inner) - before;
    println!("idle: {idle} clock ticks of processor time in 3 s");
    assert!(idle <= 3, "{idle} ticks while nothing happened");

    screen.write("ana");
    screen.key("Return");
    screen.write("correct horse");
    screen.key("Return");
    // A bar moves as long as the password is checked.
    std::thread::sleep(Duration::from_secs(1));
    screen.until_still();
    screen.shot("6-wrong-password");
    screen.write(PASSWORD);
    settle();
    assert!(!out.join("ran").exists(), "a wrong password opened it");
    screen.key("Return");
    let took = eventually("the launcher runs again", || out.join("ran").exists());
    println!(
        "from Enter to the launcher's start: {} ms",
        took.as_millis()
    );
    assert_eq!(fs::read_to_string(out.join("again")).unwrap(), "kept\n");
    eventually("the sheet is made", || out.join("sheet").exists());
    fs::write(out.join("end"), "").unwrap();
    eventually("the window comes back again", || screen.shows_something());
    std::thread::sleep(Duration::from_secs(1));

    // The password is forgotten, the sheet is not.
    let sheet = fs::read_to_string(out.join("sheet")).unwrap();
    let sheet: serde_json::Value = serde_json::from_str(&sheet).unwrap();
    fs::remove_file(out.join("ran")).unwrap();
    fs::remove_file(out.join("again")).unwrap();
    for _ in 0..7 {
        screen.key("Tab");
    }
    screen.key("Return");
    screen.key("Tab");
    screen.key("Return");
    let words = sheet["recovery_key"].as_str().unwrap();
    for text in ["ana", words, NEW_PASSWORD] {
        screen.write(text);
        screen.key("Return");
    }
    screen.write(NEW_PASSWORD);
    settle();
    screen.shot("7-forgotten");
    screen.key("Return");
    eventually("the launcher runs with a new password", || {
        out.join("ran").exists()
    });
    assert_eq!(fs::read_to_string(out.join("again")).unwrap(), "kept\n");
    fs::write(out.join("end"), "").unwrap();
    eventually("the window comes back at last", || screen.shows_something());
    std::thread::sleep(Duration::from_secs(1));

    // The password is nowhere on the disk.
    drop(login);
    eventually("nothing stays mounted", || mounts_in(place.path()) == 0);
    let state = fs::read_to_string(place.path().join("state/login.json")).unwrap_or_default();
    assert!(
        !state.contains("ana"),
        "nobody asked to be remembered: {state}"
    );
    drop(screen.server);
}

/// The keyboard of a display, as another program sees it.
struct Keyboard {
    display: *mut c_void,
    root: c_ulong,
    grab: Grab,
    release: Release,
    sync: Sync,
}

type Grab = unsafe extern "C" fn(*mut c_void, c_ulong, c_int, c_int, c_int, c_ulong) -> c_int;
type Release = unsafe extern "C" fn(*mut c_void, c_ulong) -> c_int;
type Sync = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;

impl Keyboard {
    fn of(screen: &Screen) -> Self {
        type Open = unsafe extern "C" fn(*const c_char) -> *mut c_void;
        type Root = unsafe extern "C" fn(*mut c_void) -> c_ulong;
        let name = std::ffi::CString::new(screen.display.as_str()).unwrap();
        // SAFETY: functions of Xlib by these names have these types; texts end with a zero.
        unsafe {
            let library = libc::dlopen(c"libX11.so.6".as_ptr(), libc::RTLD_LAZY);
            assert!(!library.is_null());
            let find = |name: &std::ffi::CStr| libc::dlsym(library, name.as_ptr());
            let open: Open = std::mem::transmute(find(c"XOpenDisplay"));
            let root: Root = std::mem::transmute(find(c"XDefaultRootWindow"));
            let display = open(name.as_ptr());
            assert!(!display.is_null());
            Self {
                display,
                root: root(display),
                grab: std::mem::transmute::<*mut c_void, Grab>(find(c"XGrabKeyboard")),
                release: std::mem::transmute::<*mut c_void, Release>(find(c"XUngrabKeyboard")),
                sync: std::mem::transmute::<*mut c_void, Sync>(find(c"XSync")),
            }
        }
    }

    /// Whether nobody else holds it.
    fn is_free(&self) -> bool {
        // SAFETY: the display is open.
        unsafe {
            let free = (self.grab)(self.display, self.root, 0, 1, 1, 0) == 0;
            (self.release)(self.display, 0);
            (self.sync)(self.display, 0);
            free
        }
    }
}

/// By the command, by the key and after a while: the session goes on, and only the password uncovers it.
/// Runs what systemd's unit does before the computer sleeps: as systemd does it, from outside of the session.
fn lock_before_sleep(folder: &Path, safe: &Path) {
    let unit = include_str!("../safe-lock-before-sleep.service");
    let script = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/bin/sh -c '"))
        .and_then(|script| script.strip_suffix("'"))
        .unwrap();
    let script = script
        .replace("$$", "$")
        .replace("/run/user/*", folder.to_str().unwrap());
    let ran = Command::new("/bin/sh")
        .args(["-c", &script])
        .env_clear()
        .envs(
            unit.lines()
                .find_map(|line| line.strip_prefix("Environment=")?.split_once('=')),
        )
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", safe.parent().unwrap().display()),
        )
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "locked\n", "{ran:?}");
}

#[test]
fn a_session_is_locked_and_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let Some(screen) = Screen::new(place.path()) else {
        skipped();
        return;
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_orbital-login"));
    let safe = binary.with_file_name("safe");
    let (state, out) = (place.path().join("state"), place.path().join("out"));
    let (temporary, password) = (place.path().join("tmp"), place.path().join("password"));
    let store = format!("file://{}", place.path().join("store").display());
    fs::create_dir(&out).unwrap();
    fs::create_dir(&temporary).unwrap();
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let made = Command::new(&safe)
        .args(["signup", "ana", "--small-memory"])
        .env("SAFE_STATE", &state)
        .env("SAFE_STORE", &store)
        .env("SAFE_PASSWORD_FILE", &password)
        .stdin(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let launcher = format!(
        "cd '{out}'; (trap '' HUP; exec sleep 300) & echo $! > left; echo $$ > pid; : > ran
         while :; do if [ -f lock ]; then rm lock; '{safe}' lock > told 2>&1; mv told locked; fi; : > beat; sleep 0.05; done",
        out = out.display(),
        safe = safe.display(),
    );
    let mut command = Command::new(binary);
    command
        .args(["--lock-after", "0.1", "sh", "-c", &launcher])
        .env("DISPLAY", &screen.display)
        .env("SAFE_STATE", &state)
        .env("SAFE_STORE", &store)
        .env("TMPDIR", &temporary)
        .env("SDL_VIDEODRIVER", "x11")
        .env("LC_ALL", "C")
        .env_remove("XDG_RUNTIME_DIR")
        .process_group(0);
    let login = Program(command.spawn().unwrap());
    eventually("the window opens", || screen.shows_something());
    settle();
    let keyboard = Keyboard::of(&screen);
    screen.write("ana");
    screen.key("Return");
    screen.write(PASSWORD);
    screen.key("Return");
    eventually("the launcher runs", || out.join("ran").exists());
    let is_open = || !screen.shows_something() && keyboard.is_free();
    let unlock = || {
        screen.write(PASSWORD);
        screen.key("Return");
        eventually("the session is uncovered", is_open);
    };
    eventually("the window goes", is_open);

    fs::write(out.join("lock"), "").unwrap();
    eventually("the command has locked it", || out.join("locked").exists());
    assert_eq!(fs::read_to_string(out.join("locked")).unwrap(), "locked\n");
    eventually("the card is there", || screen.shows_something());
    eventually("it has the keyboard", || !keyboard.is_free());
    settle();
    screen.shot("9-locked");
    // Its programs go on.
    fs::remove_file(out.join("beat")).unwrap();
    eventually("the session goes on", || out.join("beat").exists());
    screen.write("correct horse");
    screen.key("Return");
    // Typed while the answer is awaited, and asked about after it.
    unlock();

    screen.key("super+l");
    eventually("the key has locked it", || screen.shows_something());
    eventually("it has the keyboard", || !keyboard.is_free());
    // A pointer does not get through either, and takes nothing from it.
    screen.xdotool(&["mousemove", "5", "5", "click", "1"]);
    unlock();

    lock_before_sleep(&temporary, &safe);
    eventually("the computer has locked it before it sleeps", || {
        screen.shows_something()
    });
    eventually("it has the keyboard once more", || !keyboard.is_free());
    unlock();

    eventually("it locks itself", || screen.shows_something());
    eventually("it has the keyboard again", || !keyboard.is_free());
    // Somebody else may have the computer.
    for key in ["Tab", "Tab", "Tab", "Return"] {
        screen.key(key);
    }
    settle();
    screen.shot("9-locked-leave");
    screen.key("Tab");
    screen.key("Return");
    let launcher = fs::read_to_string(out.join("pid")).unwrap();
    eventually("the session ends", || {
        !Path::new("/proc").join(launcher.trim()).exists()
    });
    eventually("the keyboard is free", || keyboard.is_free());
    eventually("the form comes back", || screen.shows_something());
    std::thread::sleep(Duration::from_secs(2));
    screen.shot("9-signed-out");

    // A screen that breaks off while it covers a session leaves nothing of it.
    fs::remove_file(out.join("ran")).unwrap();
    fs::remove_file(out.join("locked")).unwrap();
    screen.write("ana");
    screen.key("Return");
    screen.write(PASSWORD);
    screen.key("Return");
    eventually("the launcher runs again", || out.join("ran").exists());
    fs::write(out.join("lock"), "").unwrap();
    eventually("it is locked again", || out.join("locked").exists());
    let left = fs::read_to_string(out.join("left")).unwrap();
    // SAFETY: a signal to the process that has the screen.
    unsafe { libc::kill(child_of(login.0.id()).unwrap(), libc::SIGKILL) };
    eventually("its programs end", || {
        !Path::new("/proc").join(left.trim()).exists()
    });
    eventually("the form comes back again", || screen.shows_something());
    drop(login);
    eventually("nothing stays mounted", || mounts_in(place.path()) == 0);
    drop(screen.server);
}

/// An image's marker file makes the real window warn, and without one it does not.
#[test]
fn the_window_tells_of_a_console() {
    let place = tempfile::tempdir().unwrap();
    let Some(screen) = Screen::new(place.path()) else {
        skipped();
        return;
    };
    let marker = place.path().join("console");
    for console in [false, true] {
        if console {
            fs::write(&marker, "").unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_orbital-login"));
        command
            .args(["--size", "1280x800", "true"])
            .env("DISPLAY", &screen.display)
            .env("SAFE_CONSOLE_FILE", &marker)
            .env("SAFE_STATE", place.path().join("state"))
            .env("SAFE_STORE", "file:///nowhere")
            .env("SDL_VIDEODRIVER", "x11")
            .env("LC_ALL", "C")
            .process_group(0);
        let login = Program(command.spawn().unwrap());
        eventually("the window opens", || screen.shows_something());
        settle();
        screen.shot(if console { "8-console" } else { "8-no-console" });
        let seen = screen.pixels();
        for with in [false, true] {
            let (lines, wanted) = drawn(with);
            let same = lines.iter().all(|line| {
                let rows = line.y as usize..line.bottom() as usize;
                rows.into_iter().all(|y| {
                    let row = (y * SIZE.0 + line.x as usize) * 3
                        ..(y * SIZE.0 + line.right() as usize) * 3;
                    seen[row.clone()] == wanted[row]
                })
            });
            assert_eq!(
                same,
                with == console,
                "told: {console}, compared with {with}"
            );
        }
        drop(login);
        eventually("the window closes", || !screen.shows_something());
    }
}

/// Where the warning of a console stands, and the screen's pixels with or without it.
fn drawn(console: bool) -> (Vec<Rect>, Vec<u8>) {
    let size = (SIZE.0 as i32, SIZE.1 as i32);
    let mut state = State::new(Settings::default(), Vec::new(), Abilities::default());
    let mut painter = Painter::new();
    let mut frame = vec![0; SIZE.0 * SIZE.1];
    state.console = true;
    painter.paint(&mut frame, SIZE.0, size, &view(&state));
    let layout = painter.layout().unwrap();
    let lines: Vec<Rect> = layout.placed[layout.corner_from..]
        .iter()
        .filter(|one| matches!(one.part, Part::Words(_, Look::Label, ..)))
        .map(|one| one.rect)
        .collect();
    assert!(!lines.is_empty());
    state.console = console;
    painter.paint(&mut frame, SIZE.0, size, &view(&state));
    let pixels = frame
        .iter()
        .flat_map(|pixel| [(pixel >> 16) as u8, (pixel >> 8) as u8, *pixel as u8])
        .collect();
    (lines, pixels)
}
