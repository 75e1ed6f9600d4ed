//! The tests of the guest, in the order in which they are run. Between two parts the computer is turned off and
//! on again.

mod daemon;
mod login;
mod programs;
mod reboot;
mod waiting;

use crate::account::{ANA, BOB};

/// A test.
pub struct Test {
    /// Its name.
    pub name: &'static str,
    /// The user it runs as.
    pub uid: u32,
    /// How long it may take.
    pub seconds: u64,
    /// It panics if something is not as it must be.
    pub run: fn(),
}

/// The tests from one start of the computer to the next.
pub struct Part {
    /// First these.
    pub first: &'static [Test],
    /// Then, if so, the list of cases that guest and host have in common.
    pub cases: bool,
    /// And then these.
    pub then: &'static [Test],
}

impl Part {
    /// The tests that are the guest's own.
    pub fn own(&self) -> impl Iterator<Item = &'static Test> {
        self.first.iter().chain(self.then)
    }
}

macro_rules! tests {
    ($($module:ident::$name:ident as $uid:expr, $seconds:expr;)*) => {
        &[$(Test { name: stringify!($name), uid: $uid, seconds: $seconds, run: $module::$name },)*]
    };
}

const ROOT: u32 = 0;

/// All parts.
pub const PARTS: &[Part] = &[
    Part {
        first: tests! {
            daemon::it_is_ready_before_anybody_asks as ROOT, 60;
            login::a_user_signs_up_and_in as ANA.uid, 240;
            login::somebody_else_sees_nothing as BOB.uid, 60;
        },
        cases: true,
        then: tests! {
            programs::the_old_spelling_of_paths_works as ANA.uid, 60;
            programs::cat_cp_ls_mv_rm_mkdir_and_ln as ANA.uid, 120;
            programs::a_shell_works_in_it as ANA.uid, 120;
            programs::a_program_runs_from_it as ANA.uid, 120;
            programs::record_locks_hold_between_programs as ANA.uid, 60;
            waiting::a_read_that_does_not_wait_says_again as BOB.uid, 300;
            waiting::a_signal_ends_a_waiting_read as BOB.uid, 300;
            waiting::an_event_tells_of_an_answer as BOB.uid, 300;
            login::two_logins_each_have_a_safe_of_their_own as ROOT, 480;
            daemon::a_killed_daemon_comes_back_with_what_was_synced as ROOT, 480;
            login::after_sign_out_every_handle_answers_an_error as ANA.uid, 900;
            reboot::the_home_is_left_for_the_next_start as ANA.uid, 900;
        },
    },
    Part {
        first: tests! {
            reboot::the_home_is_there_again as ANA.uid, 900;
            reboot::the_store_checks_clean as ANA.uid, 900;
        },
        cases: false,
        then: &[],
    },
];

/// The helpers of tests: this program again, with the name of the helper.
pub fn help(name: &str, arguments: &[String]) {
    match name {
        "lock" => programs::hold_a_lock(&arguments[0]),
        "look" => login::look_around(&arguments[0]),
        "look-in-vain" => login::look_in_vain(),
        "sign-up-bob" => login::sign_up_bob(),
        "sign-out-bob" => login::sign_out_bob(),
        "make-durable" => daemon::make_durable(),
        "find-durable" => daemon::find_durable(),
        _ => panic!("no help {name}"),
    }
}
