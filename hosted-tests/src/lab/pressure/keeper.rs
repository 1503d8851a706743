//! The keeper: a process that makes all changes of the machine, and takes them back as soon as the run is over, however it ended.
//!
//! It is this program again, with a session of its own, so a Ctrl-C does not reach it. It receives one request a line, and answers
//! each by a line. The end of its standard input, closed by the run or by the kernel, is the sign to undo everything. If it is killed
//! itself, the run undoes what the journal says; if both are, the next run does.

use super::change::Change;
use super::journal::{Journal, JournalError, PLACE};
use super::options::Role;
use rustix::process::setsid;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

/// What a keeper is asked for.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Make(Change),
    /// Undo the last change.
    Undo,
}

type Answer = Result<String, String>;

/// The keeper as the run sees it. Dropped, everything is undone.
#[derive(Debug)]
pub(super) struct Keeper {
    process: Child,
    /// `None` once it was told that the run is over.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    /// Starts one. It removes what an earlier run left, and says how much that was. The error says what to do.
    pub(super) fn start() -> Result<(Keeper, usize), String> {
        let no = |why: io::Error| format!("no process that cleans up can be started: {why}");
        let mut process = Command::new("/proc/self/exe")
            .args(["pressure", "--role", &Role::Keeper.to_text()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(no)?;
        let (requests, answers) = (process.stdin.take(), process.stdout.take());
        let answers = answers.ok_or_else(|| no(io::ErrorKind::BrokenPipe.into()))?;
        let mut keeper = Keeper { process, requests, answers: BufReader::new(answers) };
        let removed = keeper.answer()?;
        Ok((keeper, removed.parse().unwrap_or(0)))
    }

    /// Has a change made. Gives what there is now.
    pub(super) fn make(&mut self, change: Change) -> Answer {
        self.ask(&Request::Make(change))
    }

    /// Has the last change undone.
    pub(super) fn undo(&mut self) -> Answer {
        self.ask(&Request::Undo)
    }

    fn ask(&mut self, request: &Request) -> Answer {
        let line = serde_json::to_string(request).map_err(|why| why.to_string())? + "\n";
        let sent = self.requests.as_mut().map(|to| to.write_all(line.as_bytes()));
        match sent {
            Some(Ok(())) => self.answer(),
            _ => Err("the process that cleans up has ended".into()),
        }
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(1..) => serde_json::from_str(&line).map_err(|why| why.to_string())?,
            _ => Err("the process that cleans up has ended".into()),
        }
    }

    /// Has everything undone, and waits for that. The error says what stays, and what to do.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        if self.requests.take().is_none() {
            return Ok(());
        }
        let mut said = String::new();
        let heard = self.answers.read_to_string(&mut said);
        match self.process.wait() {
            Ok(status) if status.success() && heard.is_ok() => Ok(()),
            // It was killed, or something stays.
            _ => match Journal::open(Path::new(PLACE)) {
                Ok(journal) => told(journal.finish()),
                Err(_) => Err(format!("something may stay; the next run removes it, see {PLACE}")),
            },
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Err(why) = self.finish() {
            let _ = writeln!(io::stderr(), "lab: {why}");
        }
    }
}

fn told(wrong: Vec<String>) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// The keeper itself.
pub(super) fn main() -> ExitCode {
    let _ = setsid(); // refused only if it has a session of its own already
    let mut journal = match begin() {
        Ok((journal, removed)) => {
            say(&Ok(removed.to_string()));
            journal
        }
        Err(why) => {
            say(&Err(why));
            return ExitCode::SUCCESS; // it has changed nothing
        }
    };
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        say(&match serde_json::from_str(&line) {
            Ok(Request::Make(change)) => change.make(&mut journal),
            Ok(Request::Undo) => told(journal.undo_last(1)).map(|()| String::new()),
            Err(why) => Err(why.to_string()),
        });
    }
    if journal.finish().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A journal with nothing in it, and how many changes of an earlier run were taken back.
fn begin() -> Result<(Journal, usize), String> {
    let open = || {
        Journal::open(Path::new(PLACE)).map_err(|why| match why {
            JournalError::InUse => "another run is at it: wait for its end".to_owned(),
            JournalError::Io(why) => format!("{PLACE} can't be written ({why}): run as root, with a /run"),
        })
    };
    let left = open()?;
    match left.changes() {
        0 => Ok((left, 0)),
        count => {
            let wrong = left.finish();
            told(wrong).map_err(|why| format!("of an earlier run: {why}"))?;
            Ok((open()?, count))
        }
    }
}

/// If the run is gone, there is no reader.
fn say(answer: &Answer) {
    let mut out = io::stdout().lock();
    let text = serde_json::to_string(answer).unwrap_or_default() + "\n";
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
