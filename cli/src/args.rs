//! The command line: every command, its arguments, and the words that explain them.
//!
//! The help texts, the completions and the man pages all come from here. A password is never an
//! argument: other users of a computer can read those.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};

/// Your home folder, from any computer.
#[derive(Parser, Debug)]
#[command(
    name = "safe",
    version,
    about = "Your home folder, from any computer: encrypted, on a store that learns nothing",
    max_term_width = 100,
    after_help = "Passwords are asked for, or read with --password-stdin, or from the file named by SAFE_PASSWORD_FILE.\n\
                  Exit codes: 0 done, 1 failed, 2 wrong use; `safe run` exits with the command's own code."
)]
pub struct Args {
    /// Answer in JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,

    /// Where the session is (or, for login and run, where it is to be) mounted [default: the session that is open;
    /// SAFE_MOUNT]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub mount: Option<PathBuf>,

    /// Log to this file, as does the daemon that is started. SAFE_LOG says what, such as debug; with it and no file the
    /// system's journal has the log, else the file `log` in the state folder. No name and no secret is logged
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub log: Option<PathBuf>,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How an account is named and opened.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Account {
    /// The account's name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The store that holds the account [default: file: in ~/.local/share/safeos/store]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,

    /// Read the password as one line from standard input
    #[arg(long)]
    pub password_stdin: bool,

    /// The account has a secret key besides the password: ask for it, or read it from the file named by
    /// SAFE_SECRET_KEY_FILE; with signup, make one and show it once
    #[arg(long)]
    pub secret_key: bool,
}

/// The options of the mount.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub struct Mounting {
    /// Let root into the home of an ordinary user: for sudo, sshd, and other FUSE mounts in it; SAFE_ALLOW_ROOT=1 says
    /// the same. Wants a line `user_allow_other` in /etc/fuse.conf
    #[arg(long)]
    pub allow_root: bool,

    /// Have set-id programs and device nodes in the home work; only for root, and then only root gets in
    #[arg(long, conflicts_with = "allow_root")]
    pub suid_dev: bool,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Create an account and its empty home
    Signup {
        #[command(flatten)]
        account: Account,
        /// Use 64 MiB instead of 256 MiB to guard the password: for accounts used on computers with little
        /// memory
        #[arg(long)]
        small_memory: bool,
        /// Make a recovery sheet and show it once: twelve words that open the account when the password is forgotten
        #[arg(long)]
        recovery_sheet: bool,
    },

    /// Set a new password with the twelve words of the recovery sheet, when the old one is forgotten
    #[command(
        after_help = "The words are asked for, or read from the file named by SAFE_RECOVERY_KEY_FILE; the new password likewise, or from the file \
                      named by SAFE_NEW_PASSWORD_FILE."
    )]
    Recover {
        /// The store that holds the account [default: file: in ~/.local/share/safeos/store]
        #[arg(long, value_name = "URL")]
        store: Option<String>,
        /// Read the words and the new password as two lines from standard input
        #[arg(long)]
        password_stdin: bool,
        /// Accept a store that shows an older state than this computer has seen, or has lost what a crashed session
        /// here wrote into
        #[arg(long)]
        accept_older: bool,
    },

    /// Sign in and mount the home
    Login {
        #[command(flatten)]
        account: Account,
        /// Keep what is needed, encrypted, to sign in on this computer without the network
        #[arg(long)]
        remember: bool,
        /// Accept a store that shows an older state than this computer has seen (after restoring the store
        /// from a backup), or has lost what a crashed session here wrote into
        #[arg(long)]
        accept_older: bool,
        /// Go on waiting for a store that does not answer, also where this computer remembers the account and opens it
        /// without the store after five seconds
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        mounting: Mounting,
    },

    /// Publish, unmount and forget
    Logout {
        /// Forget also what was remembered for signing in offline
        #[arg(long)]
        wipe: bool,
        /// If publishing fails, sign out all the same; the changes stay encrypted on this computer until the
        /// next sign-in here
        #[arg(long)]
        keep: bool,
        /// Do not publish now: the changes stay encrypted on this computer, and go on from your next sign-in here
        #[arg(long, conflicts_with_all = ["wipe", "keep"])]
        later: bool,
        /// Sign out although programs have files open for writing: their later writes fail
        #[arg(long)]
        force: bool,
    },

    /// Cover the screen of the session until its password is typed; its programs go on
    Lock,

    /// Show how the session stands
    Status {
        /// Say it again each second, with rates, until Ctrl-C
        #[arg(long, conflicts_with = "metrics")]
        watch: bool,
        /// Print the daemon's metrics, as Prometheus reads them
        #[arg(long)]
        metrics: bool,
    },

    /// Write what a report of a fault needs into a file, without names and secrets
    Doctor {
        /// The file; - for standard output [default: safeos-doctor.txt]
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },

    /// Publish everything written so far; when it returns, it survives the loss of this computer
    Sync {
        /// Where records are paid for: let this and later uploads of the session cost so much each
        #[arg(long, value_name = "ANT")]
        spend: Option<String>,
    },

    /// Change the password
    Passwd {
        /// Read the old and the new password as two lines from standard input
        #[arg(long)]
        password_stdin: bool,
        /// Change it for this account, where no session is open
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// The store that holds the account [default: file: in ~/.local/share/safeos/store]
        #[arg(long, value_name = "URL", requires = "account")]
        store: Option<String>,
        /// The account has a secret key besides the password
        #[arg(long, requires = "account")]
        secret_key: bool,
    },

    /// Make a recovery sheet for the account that is signed in, or another one in its place, which closes the old one
    RecoverySheet {
        /// Read the password as one line from standard input
        #[arg(long)]
        password_stdin: bool,
    },

    /// Sign in, run a command with HOME on the account's home, publish and sign out
    #[command(
        after_help = "HOME is at the same path each time: SAFE_STATE/mnt/home, or where --mount or SAFE_MOUNT say. If a session of the account is \
                      open there, it is joined. Without a command it runs your shell. In the command's environment SAFE_MOUNT names the session, HOME and PWD are in \
                      it, and variables that pointed into the old home are removed (RUSTUP_HOME keeps pointing to this computer's Rust toolchains)."
    )]
    Run {
        #[command(flatten)]
        account: Account,
        /// Create the account first
        #[arg(long)]
        signup: bool,
        /// Keep what is needed, encrypted, to sign in on this computer without the network
        #[arg(long)]
        remember: bool,
        /// Accept a store that shows an older state than this computer has seen, or has lost what a crashed session
        /// here wrote into
        #[arg(long)]
        accept_older: bool,
        /// Go on waiting for a store that does not answer, also where this computer remembers the account and opens it
        /// without the store after five seconds
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        mounting: Mounting,
        /// The command and its arguments, after `--`
        #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
        command: Vec<OsString>,
    },

    /// List the published states of the home, newest first
    Log {
        /// Show at most this many
        #[arg(long, short = 'n', value_name = "COUNT")]
        limit: Option<usize>,
    },

    /// Bring back a file or folder as it was in a snapshot
    Restore {
        /// The snapshot's name as `safe log` shows it; of its beginning (a day, an hour) the newest that fits
        snapshot: String,
        /// The path in the home
        path: PathBuf,
        /// Put it here in the home instead of where it was
        #[arg(long, value_name = "PATH")]
        to: Option<PathBuf>,
        /// Replace what is there now
        #[arg(long)]
        replace: bool,
    },

    /// Publish a file or folder for everybody who is given its URL
    Publish {
        /// The path in the home
        path: PathBuf,
        /// Do not ask before the whole home is published
        #[arg(long)]
        yes: bool,
        /// The store that holds the account [default: file: in ~/.local/share/safeos/store]
        #[arg(long, value_name = "URL", requires = "account")]
        store: Option<String>,
        #[command(flatten)]
        whose: Whose,
    },

    /// Fetch a published file or folder
    Get {
        /// safe://ADDRESS, or safe://ADDRESS/PATH
        url: String,
        /// The folder to put it in [default: one of its own in the current folder]
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
        /// The store to fetch from, where no session is open
        #[arg(long, value_name = "URL")]
        store: Option<String>,
    },

    /// Look after stores
    #[command(subcommand)]
    Store(Store),

    /// Run a local network of real nodes, for development, until it is told to end (Ctrl-C, SIGTERM)
    Devnet(Devnet),

    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Write the man pages into a folder
    Man {
        /// The folder [default: the current one]
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// Which store, and with an account or not.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct At {
    /// The store [default: SAFE_STORE, the session's, or file: in ~/.local/share/safeos/store]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
}

/// The account whose records are meant, where no session is open.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Whose {
    /// Sign in to this account for the time of the command
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,

    /// Read the password as one line from standard input
    #[arg(long, requires = "account")]
    pub password_stdin: bool,

    /// The account has a secret key besides the password
    #[arg(long, requires = "account")]
    pub secret_key: bool,
}

impl Whose {
    /// The account that is named, at a store.
    pub fn account(&self, store: Option<&str>) -> Option<Account> {
        self.account.as_ref().map(|name| Account {
            name: name.clone(),
            store: store.map(str::to_owned),
            password_stdin: self.password_stdin,
            secret_key: self.secret_key,
        })
    }
}

/// A local network.
#[derive(clap::Args, Debug, Clone)]
pub struct Devnet {
    /// The folder that everything is kept in; a network is started again on the same one
    /// [default: devnet in the state folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,

    /// How many nodes, 7 to 100
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub nodes: usize,
}

/// How a gateway serves.
#[derive(clap::Args, Debug, Clone)]
pub struct Serve {
    /// Where to listen; 0.0.0.0:PORT is every network this computer is in, port 0 any free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8420")]
    pub listen: String,

    /// The store to serve [default: SAFE_STORE, or file: in ~/.local/share/safeos/store]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,

    /// The certificate chain (PEM): serve https
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub tls_key: Option<PathBuf>,

    /// Serve only clients that send a token of this file: lines of `read TOKEN` or `write TOKEN`; needed in front of a
    /// store that is paid for. It is read again when it changes, as are the certificate and its key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,

    /// A store in front of the other one that remembers chunks which were fetched
    #[arg(long, value_name = "URL", conflicts_with = "mirror")]
    pub cache: Option<String>,

    /// The most that the cache holds, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096, requires = "cache")]
    pub cache_max: u64,

    /// A second store that gets everything the first one gets
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,

    /// Let clients remove chunks, as `safe store gc` does
    #[arg(long)]
    pub allow_delete: bool,

    /// Requests a second that one address may make with one token; 0 for any number
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub rate: u32,

    /// Connections at once
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub connections: usize,

    /// Connections at once from one address (an IPv6 network of /64 is one)
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    pub connections_each: usize,

    /// A proxy in front of the gateway, or a network of them: the client that it names in X-Forwarded-For counts as the
    /// address that asks; may be given several times
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub proxy: Vec<String>,

    /// Memory for records on their way, in MiB; half of it for one address
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub memory: usize,
}

/// `safe store …`
#[derive(Subcommand, Debug)]
pub enum Store {
    /// Serve a store to other computers over HTTP, until it is told to end (Ctrl-C, SIGTERM)
    Serve(Serve),

    /// Count the store's records
    Stats {
        #[command(flatten)]
        at: At,
    },

    /// With a session or --account: read everything the home and its history refer to; else read and
    /// verify every record
    Check {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        whose: Whose,
        /// Verify every record of the store, also where a session is open
        #[arg(long, conflicts_with = "account")]
        records: bool,
    },

    /// Copy every record from one store to another; with --account only that account, its home and history
    Copy {
        /// The store to copy from
        #[arg(value_name = "FROM")]
        from: String,
        /// The store to copy to
        #[arg(value_name = "TO")]
        to: String,
        #[command(flatten)]
        whose: Whose,
    },

    /// Remove this account's records that nothing refers to; records that a computer at work may need stay
    Gc {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        whose: Whose,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
        /// This computer will not come back: records that only it needs go too, and its unpublished changes are lost
        #[arg(long, value_name = "COMPUTER")]
        forget: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn run_takes_everything_after_the_dashes() {
        let args = parse("safe run ana --signup --store file:///s -- sh -c --json").unwrap();
        assert!(!args.json);
        let Command::Run {
            account,
            signup,
            command,
            ..
        } = args.command
        else {
            panic!("not run")
        };
        assert_eq!(account.name, "ana");
        assert_eq!(account.store.as_deref(), Some("file:///s"));
        assert!(signup);
        assert_eq!(command, ["sh", "-c", "--json"]);
    }

    #[test]
    fn run_without_a_command_is_the_shell() {
        let Command::Run { command, .. } = parse("safe run ana").unwrap().command else {
            panic!("not run")
        };
        assert!(command.is_empty());
    }

    #[test]
    fn a_command_without_dashes_is_wrong_use() {
        assert_eq!(parse("safe run ana ls").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn json_and_mount_stand_anywhere() {
        for line in [
            "safe --json status --mount /m",
            "safe status --mount /m --json",
        ] {
            let args = parse(line).unwrap();
            assert!(args.json);
            assert_eq!(args.mount.unwrap(), PathBuf::from("/m"));
        }
    }

    #[test]
    fn there_is_no_password_argument() {
        for word in ["--password", "--password=x"] {
            let error = parse(&format!("safe login ana {word}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{word}");
        }
    }

    #[test]
    fn the_commands_of_the_design_are_there() {
        for line in [
            "safe signup ana --store file:///s --secret-key",
            "safe login ana --store file:///s --mount /m --remember --accept-older",
            "safe logout --wipe --keep",
            "safe logout --later",
            "safe logout --force",
            "safe login ana --allow-root",
            "safe run ana --suid-dev -- true",
            "safe status",
            "safe status --watch --json",
            "safe status --metrics",
            "safe doctor report.txt",
            "safe doctor --log l",
            "safe sync",
            "safe sync --spend 12.5",
            "safe passwd --password-stdin",
            "safe passwd --account ana --store file:///s --secret-key",
            "safe publish docs --account ana --store file:///s",
            "safe log -n 3",
            "safe restore 2026-11-22T10:11:12.123Z docs/a --to docs/b --replace",
            "safe publish docs",
            "safe get safe://00 here",
            "safe store check --account ana",
            "safe store stats --store file:///s",
            "safe store copy file:///a file:///b",
            "safe store gc --dry-run",
            "safe store gc --forget laptop",
            "safe store serve --listen 0.0.0.0:443 --store file:///s --tls-cert c --tls-key k --token-file t --mirror file:///m",
            "safe devnet --dir /n --nodes 8",
            "safe completions bash",
            "safe man /tmp/x",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
