//! The wall time with its quality, and the monotonic time.
//!
//! The system time is used unless it lies before a moment that is known to be past, the *floor*: the
//! release of this program, the last confirmed time in the journal, the date of a message that the
//! central side has signed. In that case the time runs on from the floor, with the quality `floor`.
//! Timeouts of lanes use the monotonic clock, which a step of the wall time does not move.

use kakou_core::time::{Now, Quality, WallMs};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// No box that runs this lives before its release.
const RELEASED_MS: i64 = 1_793_000_000_000;
/// Nor before the moment of its source, which packages are built with: the same source makes the same bytes, so
/// it is that of the last commit and not of the build.
pub const BUILT_MS: i64 = built_ms(option_env!("SOURCE_DATE_EPOCH"));

/// A date in UTC seconds, unless it is none or lies before the release.
const fn built_ms(epoch: Option<&str>) -> i64 {
    let Some(text) = epoch else { return RELEASED_MS };
    let (digits, mut at, mut seconds) = (text.as_bytes(), 0, 0_i64);
    while at < digits.len() {
        if !digits[at].is_ascii_digit() || at == 11 {
            return RELEASED_MS;
        }
        seconds = seconds * 10 + (digits[at] - b'0') as i64;
        at += 1;
    }
    if seconds * 1000 > RELEASED_MS { seconds * 1000 } else { RELEASED_MS }
}

/// How far the system time may lie behind the floor before the floor is used instead: a time service corrects
/// small errors.
const SLACK_MS: i64 = 120_000;
/// How far a signed date may lie ahead of a confirmed time before it is not believed.
const AHEAD_MS: i64 = 300_000;
/// A step, as opposed to a clock that runs a little fast.
pub const STEP_MS: i64 = 1_000;

/// Where the wall time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeSource {
    /// The system clock counts as known once the time service has said so.
    #[default]
    Ntp,
    /// The system clock is taken as it is: a box with a trusted clock of its own.
    System,
    /// Time stands still at a given moment: for conformance runs only.
    Fixed,
}

/// systemd-timesyncd makes this file when it has set the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// The kernel's own limit of a clock that is synchronised, in microseconds.
const MAX_ERROR_US: i64 = 16_000_000;

/// The clock of the box. Copies share what they know.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: TimeSource,
    fixed_ms: WallMs,
    shift: Option<PathBuf>,
    // The floor less the monotonic time at which it was learnt.
    floor: AtomicI64,
}

impl Clock {
    /// The system clock, believed: for tools.
    pub fn system() -> Self {
        Self::new(TimeSource::System, 0, None)
    }

    /// With a source; `fixed_ms` matters for [`TimeSource::Fixed`] only. A file may hold milliseconds by
    /// which the time is off: tests of steps write it.
    pub fn new(source: TimeSource, fixed_ms: WallMs, shift: Option<PathBuf>) -> Self {
        let floor = AtomicI64::new(BUILT_MS - mono_ms().cast_signed());
        Self(Arc::new(Shared { source, fixed_ms, shift, floor }))
    }

    /// Where the time comes from.
    pub fn source(&self) -> TimeSource {
        self.0.source
    }

    /// Now. The monotonic time counts from boot and goes on while the box sleeps.
    pub fn now(&self) -> Now {
        let mono_ms = mono_ms();
        if self.0.source == TimeSource::Fixed {
            return Now { mono_ms, wall_ms: Some(self.0.fixed_ms), quality: Quality::Synced };
        }
        let (wall_ms, trusted) = self.own();
        let floor = self.0.floor.load(Ordering::Relaxed) + mono_ms.cast_signed();
        let (wall_ms, quality) = match trusted {
            _ if wall_ms < floor - SLACK_MS => (floor, Quality::Floor),
            true => (wall_ms, Quality::Synced),
            false => (wall_ms, Quality::Unsynced),
        };
        Now { mono_ms, wall_ms: Some(wall_ms), quality }
    }

    /// The box's own time where its source stands for it, even if it lies before the floor.
    pub fn claimed(&self) -> Option<WallMs> {
        let (wall_ms, trusted) = self.own();
        trusted.then_some(wall_ms)
    }

    /// A source that has stood for an earlier time long enough is believed after all.
    pub fn believe(&self, wall_ms: WallMs) {
        self.0.floor.store(wall_ms.max(BUILT_MS) - mono_ms().cast_signed(), Ordering::Relaxed);
    }

    fn own(&self) -> (WallMs, bool) {
        let wall = clock_gettime(ClockId::Realtime);
        let shift = self.0.shift.as_deref().map_or(0, shift);
        let wall_ms = wall.tv_sec * 1000 + wall.tv_nsec / 1_000_000 + shift;
        (wall_ms, self.0.source != TimeSource::Ntp || Path::new(SYNCHRONISED).exists() || is_held())
    }

    /// Raises the floor to a time that the journal has stored as confirmed.
    pub fn not_before(&self, wall_ms: WallMs) {
        self.0.floor.fetch_max(wall_ms - mono_ms().cast_signed(), Ordering::Relaxed);
    }

    /// Raises the floor to the date of a message with a good signature, unless a confirmed time contradicts it.
    pub fn signed_at(&self, wall_ms: WallMs) {
        let now = self.now();
        if now.synced() && now.wall_ms.is_some_and(|now| wall_ms > now + AHEAD_MS) {
            return log::warn!("a signed word is dated later than now: its date is not believed");
        }
        if self.0.source != TimeSource::Fixed {
            self.not_before(wall_ms);
        }
    }
}

/// Whether a time service holds the kernel's clock: chrony and ntpd tell the kernel so. Where the unit keeps the
/// daemon from asking, it is not known, and counts as no.
fn is_held() -> bool {
    #[expect(unsafe_code, reason = "no crate wraps adjtimex for whoever may not set the clock")]
    // SAFETY: zeros are a valid timex, and without a mode the call does nothing but fill it.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    says_held(state, &timex)
}

fn says_held(state: libc::c_int, timex: &libc::timex) -> bool {
    let small = i128::from(timex.maxerror) < i128::from(MAX_ERROR_US);
    (0..libc::TIME_ERROR).contains(&state) && timex.status & libc::STA_UNSYNC == 0 && small
}

fn shift(file: &Path) -> i64 {
    std::fs::read_to_string(file).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

fn mono_ms() -> u64 {
    let mono = clock_gettime(ClockId::Boottime);
    u64::try_from(mono.tv_sec * 1000 + mono.tv_nsec / 1_000_000).unwrap_or(0)
}

/// Certificates are judged by the same time as passes.
impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let ms = u64::try_from(self.now().wall_ms?).ok()?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

/// The id of this boot of the machine.
pub fn boot_id() -> String {
    // Where /proc shows processes alone, the unit names the boot.
    if let Some(id) = std::env::var("KAKOU_BOOT_ID").ok().filter(|id| !id.is_empty()) {
        return id;
    }
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |s| s.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_as_old_as_its_source_and_no_older_than_the_release() {
        assert_eq!(built_ms(None), RELEASED_MS);
        assert_eq!(built_ms(Some("1800000000")), 1_800_000_000_000);
        for no_date in ["", "0", "1", "1600000000", "tomorrow", "-1", "180000000000000000"] {
            assert_eq!(built_ms(Some(no_date)), RELEASED_MS, "{no_date}");
        }
    }

    #[test]
    fn a_clock_counts_as_held_when_the_kernel_says_so_with_a_small_error() {
        let timex = |status: libc::c_int, maxerror: libc::c_long| {
            // SAFETY: zeros are a valid timex.
            #[expect(unsafe_code, reason = "a struct of the C library has no other way to begin")]
            let mut timex: libc::timex = unsafe { std::mem::zeroed() };
            (timex.status, timex.maxerror) = (status, maxerror);
            timex
        };
        let held = |state, status, maxerror| says_held(state, &timex(status, maxerror));
        assert!(held(0, libc::STA_PLL, 50_000));
        assert!(held(libc::TIME_INS, 0, 50_000), "a leap second is announced");
        assert!(!held(0, libc::STA_UNSYNC, 50_000), "nobody holds it");
        assert!(!held(libc::TIME_ERROR, 0, 50_000));
        assert!(!held(0, 0, 16_000_000), "it was held long ago");
        assert!(!held(-1, 0, 0), "the unit keeps the daemon from asking");
    }

    #[test]
    fn time_never_lies_before_what_is_known_to_be_past_and_goes_on_from_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let shift = |ms: i64| std::fs::write(file.path(), ms.to_string()).unwrap();
        let clock = Clock::new(TimeSource::System, 0, Some(file.path().to_path_buf()));
        let right = Clock::system().now().wall_ms.unwrap();
        let near =
            |now: Now, ms: i64| assert!((now.wall_ms.unwrap() - ms).abs() < 5_000, "{now:?}, not {ms}");
        near(clock.now(), right);
        assert!(clock.now().synced());

        shift(BUILT_MS - right - 86_400_000);
        assert_eq!(clock.now().quality, Quality::Floor);
        near(clock.now(), BUILT_MS);
        let before = clock.now().wall_ms;
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now().wall_ms > before, "the floor stands still");

        clock.signed_at(right - 3_600_000);
        near(clock.now(), right - 3_600_000);
        shift(-60_000);
        assert!(clock.now().synced(), "a small correction is no trouble");
        clock.signed_at(right + 86_400_000);
        near(clock.now(), right - 60_000);
    }
}
