//! Nothing in `/proc` and `/sys`.

use crate::alone::{Case, Where};
use crate::goods::Goods;
use forebay_backends::shmem::{GroupLimit, HugePageSetting, HugePages, Swap};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

pub(crate) const CASES: &[Case] =
    &[Case::new("without_proc_and_sys_everything_is_unknown_and_works", Where::AsRoot, hidden)];

/// Rule: what can't be found out is unknown, and nothing depends on it.
fn hidden() {
    let empty = |at| mount("empty", at, "tmpfs", MountFlags::empty(), None);
    let hidden = crate::raw::own_mounts()
        .and_then(|()| mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC))
        .and_then(|()| empty("/proc"))
        .and_then(|()| empty("/sys"));
    if let Err(why) = hidden {
        println!("left out: no mounts of its own: {why}");
        return;
    }
    assert!(std::fs::read_dir("/proc").unwrap().next().is_none());
    let goods = Goods::usual();
    let report = goods.arena.host_report();
    println!("{report}");
    assert_eq!((report.swap, report.group_limit), (Swap::Unknown, GroupLimit::Unknown));
    assert_eq!((report.huge_pages, report.huge_page_size), (HugePages::Unknown, None));
    assert_eq!(report.huge_page_setting(), HugePageSetting::Unknown);
    let text = report.to_string();
    assert!(text.contains("swap: unknown"), "{text}");
    assert!(text.contains("memory limit of the control groups: unknown"), "{text}");
    assert!(text.contains("huge pages: none that can be seen"), "{text}");
    goods.round();
    goods.free_all(goods.keep());
}
