//! The figures of all cases, also as JSON, and whether they are as promised.

use super::case::{Case, Kept, Swapping, Way};
use super::group::Version;
use super::options::SwapKind;
use super::outcome::{Ending, Lowered, Outcome, Shrunk};
use super::pool::{LEAVING, PAGES};
use super::runs::Conditions;
use serde::Serialize;

/// The most kernel memory that the transfer of 128 MiB may take, in bytes.
const KERNEL: i64 = 16 << 10;

/// All cases.
#[derive(Clone, Debug, Serialize)]
pub struct PressureReport {
    /// Whether everything is as promised.
    pub good: bool,
    /// What is not.
    pub faults: Vec<String>,
    /// Version of the control groups.
    pub cgroup_version: usize,
    /// What the kernel swapped to.
    pub swap: SwapKind,
    /// The setting for huge pages of shmem before the run; during the run it is `advise`.
    pub shmem_enabled_before: String,
    /// Why it could not be set, if so.
    pub shmem_enabled_refused: Option<String>,
    /// Each case.
    pub cases: Vec<Outcome>,
    /// What the proposal that the project began with claims, and what was seen.
    pub claims: Vec<Claim>,
    /// What could not be removed, and what to do about it.
    pub left_behind: Option<String>,
}

/// A sentence of the proposal "Insert instead of copy pages into shmem when shrinking", and what was seen of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Claim {
    /// What it claims.
    pub claim: &'static str,
    /// What was seen.
    pub seen: String,
}

impl PressureReport {
    pub(super) fn new(cases: Vec<Outcome>, conditions: &Conditions) -> PressureReport {
        let faults: Vec<String> = cases.iter().flat_map(faults).collect();
        PressureReport {
            good: faults.is_empty(),
            faults,
            cgroup_version: if conditions.version == Version::One { 1 } else { 2 },
            swap: conditions.swap,
            shmem_enabled_before: conditions.setting.0.clone(),
            shmem_enabled_refused: conditions.setting.1.clone(),
            claims: claims(&cases),
            cases,
            left_behind: None,
        }
    }

    /// Whether everything is as promised, and nothing is left on the machine.
    pub fn is_good(&self) -> bool {
        self.good && self.left_behind.is_none()
    }

    /// One object, on one line.
    ///
    /// # Errors
    /// None that is known.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// What became of the machine.
    pub(super) fn ending(&self) -> String {
        match &self.left_behind {
            Some(why) => why.clone(),
            None => format!(
                "swap and control groups are removed, and shmem_enabled is {} again",
                self.shmem_enabled_before
            ),
        }
    }
}

/// What is not as promised. Contents are compared in all cases; the rest is promised of pinned arenas.
fn faults(outcome: &Outcome) -> Vec<String> {
    let mut faults = vec![];
    let mut expect = |is: bool, what: &str| {
        if !is {
            faults.push(format!("{}: {what}", outcome.name));
        }
    };
    expect(outcome.is_intact(), "contents are not what they were");
    if let Ending::Failed(why) = &outcome.ending {
        expect(false, why);
        return faults;
    }
    if outcome.case.way.is_transfer() {
        expect(outcome.ending == Ending::Complete, "it was killed");
        expect(outcome.blocks_left == LEAVING, "not every block left");
    }
    if outcome.case.way == Way::CopyChecked {
        expect(
            outcome.ending == Ending::Complete,
            "it was killed, although forebay looks for head-room first",
        );
    }
    if outcome.case.way != Way::TransferPinned {
        return faults;
    }
    if let Some(Shrunk { peak_bytes, limit_hits, kernel_bytes, splits, .. }) = outcome.shrunk {
        expect(peak_bytes == 0, "the shrink call took memory");
        expect(limit_hits.is_none_or(|hits| hits == 0), "the shrink call met the limit");
        expect(kernel_bytes.is_none_or(|bytes| bytes <= KERNEL), "the kernel took more than 16 KiB");
        expect(splits == 0, "the shrink call split a huge page");
    }
    if let Some(Lowered { stored, kept, whole, splits }) = outcome.lowered {
        expect(stored > 0, "nothing was swapped out");
        expect(kept == 0, "a kept page was swapped out");
        if outcome.huge > 0 {
            expect(splits == 0, "a huge page was split");
            expect(whole as usize * PAGES >= stored, "a huge page was not written whole");
        }
    }
    faults
}

fn claims(cases: &[Outcome]) -> Vec<Claim> {
    let find = |way, swapping| cases.iter().find(|it| it.case == Case { way, kept: Kept::Idle, swapping });
    let [whole, whole_swap] = [Swapping::Forbidden, Swapping::Allowed].map(|s| find(Way::CopyWhole, s));
    let [split, split_swap] = [Swapping::Forbidden, Swapping::Allowed].map(|s| find(Way::CopySplit, s));
    let pinned = find(Way::TransferPinned, Swapping::Forbidden);
    let seen = |text: Option<String>| text.unwrap_or_else(|| "not seen: the case did not end".into());
    let copying = whole.zip(whole_swap.and_then(|it| it.shrunk)).map(|(alone, swap)| {
        format!(
            "without swap {}; with swap {} pages of the pool itself were swapped out to make room.",
            copied(alone),
            swap.swapped_kept
        )
    });
    let splitting = split.zip(split_swap).map(|(alone, swap)| {
        format!(
            "without swap {}, and {} huge pages were split; with swap {}, and {} were split.",
            copied(alone),
            alone.splits,
            copied(swap),
            swap.splits
        )
    });
    let swapping = pinned.and_then(|it| it.lowered).map(|Lowered { stored, kept, whole, splits }| {
        let all = stored + kept;
        format!(
            "{whole} huge pages were written whole, {splits} split; of {all} swapped pages {stored} had been transferred."
        )
    });
    let memory = pinned.and_then(|it| it.shrunk).map(|shrunk| {
        format!(
            "{} KiB above the usage at the start, {} limit hits, {} bytes of kernel memory for 128 MiB.",
            shrunk.peak_bytes >> 10,
            shrunk.limit_hits.map_or("unknown".into(), |hits| hits.to_string()),
            shrunk.kernel_bytes.map_or("unknown".into(), |bytes| bytes.to_string()),
        )
    });
    vec![
        Claim {
            claim: "To copy a large block into shmem, as much free memory is needed before anything is freed.",
            seen: seen(copying),
        },
        Claim {
            claim: "To split it, and to free each page once it is copied, avoids that, but fragments memory.",
            seen: seen(splitting),
        },
        Claim {
            claim: "A large block that is inserted itself can be swapped out without being split.",
            seen: seen(swapping),
        },
        Claim {
            claim: "Inserting allocates nothing when memory is short, but for the index of the file.",
            seen: seen(memory),
        },
    ]
}

/// How a case ended, in words.
fn copied(outcome: &Outcome) -> String {
    let what = format!("{} of {LEAVING} blocks", outcome.blocks_left);
    match outcome.ending {
        Ending::Killed => format!("the kernel killed the process after {what}"),
        _ => format!("{what} were copied"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Restored;
    use super::*;

    fn pinned() -> Outcome {
        let mut outcome = Outcome::new(Case::ALL[0]);
        outcome.blocks_left = LEAVING;
        outcome.huge = 128;
        let (limit_hits, kernel_bytes) = (Some(0), Some(KERNEL));
        outcome.shrunk = Some(Shrunk { blocks: LEAVING, limit_hits, kernel_bytes, ..Shrunk::default() });
        outcome.lowered = Some(Lowered { stored: 16_384, kept: 0, whole: 32, splits: 0 });
        outcome.restored = Some(Restored { compared: 1, ..Restored::default() });
        outcome
    }

    /// Rule: each promise that is broken is named, one by one; without any the run is good.
    #[test]
    fn promises() {
        type Break = fn(&mut Outcome);
        assert_eq!(faults(&pinned()), Vec::<String>::new());
        let broken: [(Break, &str); 10] = [
            (|it| it.restored.as_mut().unwrap().wrong = 1, "contents"),
            (|it| it.restored = None, "contents"),
            (|it| it.blocks_left = 63, "not every block"),
            (|it| it.shrunk.as_mut().unwrap().peak_bytes = 4096, "took memory"),
            (|it| it.shrunk.as_mut().unwrap().limit_hits = Some(1), "met the limit"),
            (|it| it.shrunk.as_mut().unwrap().kernel_bytes = Some(KERNEL + 1), "16 KiB"),
            (|it| it.lowered.as_mut().unwrap().kept = 1, "a kept page"),
            (|it| it.lowered.as_mut().unwrap().splits = 1, "was split"),
            (|it| it.lowered.as_mut().unwrap().whole = 31, "not written whole"),
            (|it| it.ending = Ending::Failed("no such thing".into()), "no such thing"),
        ];
        for (damage, says) in broken {
            let mut outcome = pinned();
            damage(&mut outcome);
            let said = faults(&outcome);
            assert!(matches!(&said[..], [fault] if fault.contains(says)), "{says}: {said:?}");
        }
    }

    /// Rule: copying by hand that is killed is a result; what forebay does is not killed.
    #[test]
    fn killed() {
        let killed = |case| Outcome { ending: Ending::Killed, ..Outcome::new(case) };
        let copying = killed(Case { way: Way::CopyWhole, ..Case::ALL[0] });
        assert_eq!(faults(&copying), Vec::<String>::new());
        for case in [Case::ALL[0], Case { way: Way::CopyChecked, ..Case::ALL[0] }] {
            assert!(faults(&killed(case)).iter().any(|fault| fault.contains("killed")), "{case}");
        }
        let claims = claims(&[copying, pinned()]);
        assert!(claims[2].seen.contains("32 huge pages were written whole, 0 split"), "{claims:?}");
    }
}
