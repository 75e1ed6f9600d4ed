//! Prints the processor time that pictures take on this computer: `cargo run --release -p orbital-login --example figures`.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use orbital_login::keyboard::Input;
use orbital_login::paint::Painter;
use orbital_login::settings::Settings;
use orbital_login::state::{Abilities, Event, State};
use orbital_login::view::view;

const TIMES: usize = 40;

/// Of this process, whatever else runs on the computer.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time lives until the call returns.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() {
    for (width, height) in [(1280, 800), (1920, 1080), (3840, 2160)] {
        let mut frame = vec![0; width * height];
        let shape = (width as i32, height as i32);
        let mut state = State::new(Settings::default(), Vec::new(), Abilities::default());
        let mut painter = Painter::new();
        let mut first = Duration::ZERO;
        let mut timed = |painter: &mut Painter, state: &State| {
            let view = view(state);
            let start = processor_time();
            painter.paint(&mut frame, width, shape, &view);
            processor_time() - start
        };
        first += timed(&mut painter, &state);
        let mut whole = Vec::new();
        for _ in 0..TIMES {
            painter.lose_frame();
            whole.push(timed(&mut painter, &state));
        }
        let mut letters = Vec::new();
        for _ in 0..TIMES {
            state.update(Event::Input(Input::Text('a')));
            letters.push(timed(&mut painter, &state));
        }
        let mut same = Vec::new();
        for _ in 0..TIMES {
            same.push(timed(&mut painter, &state));
        }
        let median = |mut times: Vec<Duration>| {
            times.sort();
            times[times.len() / 2]
        };
        println!(
            "{width}x{height}: first {first:.1?}, everything again {:.2?}, a letter {:.2?}, nothing new {:.2?}",
            median(whole),
            median(letters),
            median(same)
        );
    }
}
