//! The line: the fate of a packet.

use std::collections::BTreeMap;
use std::time::Duration;

/// The fates of packets, in thousandths where nothing else is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// It does not arrive.
    pub lost: u64,
    /// It arrives twice.
    pub doubled: u64,
    /// It arrives later than those after it.
    pub late: u64,
    /// One bit is another one, which checksums notice.
    pub flipped: u64,
    /// Two words have changed places, which checksums do not notice. In millionths.
    pub swapped: u64,
    /// How long it takes one way.
    pub delay: Duration,
    /// Bytes a second each way; 0 for any number.
    pub rate: u64,
    /// From this packet on …
    pub cut_at: Option<u64>,
    /// … nothing arrives for this long.
    pub cut_for: Duration,
}

/// A line with its weather, and the events on it.
pub struct Line {
    /// May be changed while it runs.
    pub weather: Weather,
    /// Packets sent.
    pub packets: u64,
    /// Packets that did not arrive as they were sent, or not in order, or not once.
    pub mishaps: u64,
    /// Two words changed places unnoticed.
    pub swaps: u64,
    /// A number for everything that has happened, and when.
    pub trace: u64,
    random: u64,
    dead_until: Duration,
    /// When the line is free again, each way.
    free: [Duration; 2],
    /// By the time of arrival.
    under_way: BTreeMap<(Duration, u64), (bool, Vec<u8>)>,
    next_number: u64,
}

impl Line {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        Self {
            weather,
            packets: 0,
            mishaps: 0,
            swaps: 0,
            trace: seed,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            dead_until: Duration::ZERO,
            free: [Duration::ZERO; 2],
            under_way: BTreeMap::new(),
            next_number: 0,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit.max(1)
    }

    fn happens(&mut self, millionths: u64) -> bool {
        let happens = self.below(1_000_000) < millionths;
        self.mishaps += u64::from(happens);
        happens
    }

    fn note(&mut self, what: u64) {
        self.trace = (self.trace ^ what)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }

    pub(super) fn send(&mut self, now: Duration, to_server: bool, mut packet: Vec<u8>) {
        let weather = self.weather;
        self.packets += 1;
        if weather.cut_at == Some(self.packets) {
            self.dead_until = now + weather.cut_for;
        }
        // Every packet draws as often as the others, whatever happens to it.
        let [lost, doubled, late, flipped] =
            [weather.lost, weather.doubled, weather.late, weather.flipped]
                .map(|thousandths| self.happens(thousandths * 1000));
        let swapped = self.happens(weather.swapped);
        let [where_to, how_late] = [self.below(1 << 32), self.below(60)];
        self.note(now.as_micros() as u64);
        self.note(packet.len() as u64 | u64::from(to_server) << 32 | u64::from(lost) << 33);
        if lost || now < self.dead_until {
            return;
        }
        if flipped {
            let bit = where_to as usize % (packet.len() * 8);
            packet[bit / 8] ^= 1 << (bit % 8);
        }
        // Behind the heads of IP and TCP, 40 bytes or a few more.
        let words = packet.len().saturating_sub(64) / 2;
        if swapped && words > 1 {
            let (one, other) = (where_to as usize % words, how_late as usize % words);
            for byte in 0..2 {
                packet.swap(64 + one * 2 + byte, 64 + other * 2 + byte);
            }
            self.swaps += 1;
        }
        let free = &mut self.free[usize::from(to_server)];
        let begin = now.max(*free);
        let micros = (packet.len() as u64 * 1_000_000).checked_div(weather.rate);
        *free = begin + Duration::from_micros(micros.unwrap_or(0));
        let mut arrives = *free + weather.delay;
        if late {
            arrives += Duration::from_millis(how_late);
        }
        for extra in 0..=u64::from(doubled) {
            self.next_number += 1;
            let place = (arrives + Duration::from_millis(extra * 3), self.next_number);
            self.under_way.insert(place, (to_server, packet.clone()));
        }
    }

    pub(super) fn arrived(&mut self, now: Duration) -> Option<(bool, Vec<u8>)> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.under_way.keys().next().map(|(time, _)| *time)
    }
}
