//! A process that takes back a change of the machine as soon as the process that made it is gone, however it ended.
//!
//! It is started before the change and is this program again. Between the two is a socket, over which the guardian says
//! that it is ready. The end of the other side, closed by its owner or by the kernel, is the sign to undo. A Ctrl-C
//! does not reach the guardian: it has a session of its own. It ignores the signals that ask a program to end.

use crate::raw;
use crate::undo::Undo;
use rustix::io::{read, retry_on_intr, write};
use rustix::process::setsid;
use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};

/// Says what a guardian is to undo.
const UNDO: &str = "FOREBAY_UNDO";
const READY: &str = "ready\n";

/// As long as this exists, the change stays. Then it is undone before `drop` returns.
pub(crate) struct Guardian {
    undo: Undo,
    process: Child,
    other_side: BufReader<UnixStream>,
}

impl Guardian {
    /// Starts one, before the change. It keeps `lock` open until it has ended. The error says why there is none.
    pub(crate) fn start(undo: Undo, lock: Option<OwnedFd>) -> Result<Guardian, String> {
        let no = |why: io::Error| format!("no guardian: {why}");
        let (ours, theirs) = UnixStream::pair().map_err(no)?;
        let mut guardian = Command::new("/proc/self/exe");
        guardian.env(UNDO, undo.to_text()).current_dir("/");
        guardian.stdin(OwnedFd::from(theirs)).stdout(lock.map_or_else(Stdio::null, Stdio::from));
        let process = guardian.stderr(Stdio::null()).spawn().map_err(no)?;
        // Only the guardian has the lock and its side of the socket.
        drop(guardian);
        let mut guardian = Guardian { undo, process, other_side: BufReader::new(ours) };
        let mut said = String::new();
        guardian.other_side.read_line(&mut said).map_err(no)?;
        if said == READY { Ok(guardian) } else { Err("no guardian: it ended before it was ready".to_owned()) }
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Has it undo the change, and waits for its end. The error says what could not be undone.
    fn finish(&mut self) -> Result<(), String> {
        let mut said = String::new();
        let told = self.other_side.get_ref().shutdown(Shutdown::Write);
        let heard = told.and_then(|()| self.other_side.read_to_string(&mut said));
        match self.process.wait() {
            Ok(status) if status.success() && heard.is_ok() => Ok(()),
            // It was ended from outside, or it failed.
            _ => self.undo.apply().map_err(|why| format!("{why} (its guardian said: {said})")),
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        if let Err(why) = self.finish() {
            eprintln!("the change of the machine is not undone: {why}");
        }
    }
}

/// What this process is to undo, if it is a guardian.
pub(crate) fn asked_for() -> Option<String> {
    env::var(UNDO).ok()
}

/// The guardian: waits for the end of the other side, and undoes.
pub(crate) fn run(undo: &str) -> ExitCode {
    raw::close_all_but_three();
    raw::ignore(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT]);
    let Some(undo) = Undo::from_text(undo) else { return ExitCode::FAILURE };
    if setsid().is_err() || write(io::stdin(), READY.as_bytes()).is_err() {
        return ExitCode::FAILURE;
    }
    // An error is an end too: the other side was closed before it had read everything.
    while retry_on_intr(|| read(io::stdin(), &mut [0; 64])).is_ok_and(|bytes| bytes > 0) {}
    match undo.apply() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = write(io::stdin(), why.as_bytes()); // there may be no reader
            ExitCode::FAILURE
        }
    }
}
