//! The scenarios of TTM's tests and rules (`ttm-semantics.md` §5: 1 to 35, families a to k), each for what it is about;
//! TTM.md has the table. Each runs as it is, then while every call of every port fails once, and where a buffer's contents
//! move, while they are stopped at every step.

mod card;
mod dma;
mod fill;
mod gate;
mod insertion;
mod interrupts;
mod limit;
mod model;
mod partly;
mod pool;
mod rig;
mod stops;
mod store;
mod swap;
mod swapin;
mod teardown;
mod tt;

/// Rule: the table in TTM.md names every scenario, and none that is not there.
#[test]
fn the_table_is_complete() {
    let document = include_str!("../../TTM.md");
    let sources = [
        include_str!("dma.rs"),
        include_str!("fill.rs"),
        include_str!("insertion.rs"),
        include_str!("interrupts.rs"),
        include_str!("limit.rs"),
        include_str!("model.rs"),
        include_str!("partly.rs"),
        include_str!("pool.rs"),
        include_str!("store.rs"),
        include_str!("swap.rs"),
        include_str!("swapin.rs"),
        include_str!("teardown.rs"),
        include_str!("tt.rs"),
    ];
    let is_one = |name: &&str| name.starts_with("scenario_") || name.starts_with("family_");
    let names =
        sources.iter().flat_map(|source| source.split("fn ").filter_map(|rest| rest.split('(').next()));
    let names: Vec<_> = names.filter(is_one).collect();
    assert!(names.len() > 50, "{names:?}");
    let all =
        (1..=35).map(|n| format!("scenario_{n:02}_")).chain(('a'..='k').map(|c| format!("family_{c}_")));
    for one in all {
        assert!(names.iter().any(|name| name.starts_with(&one)), "there is no {one}");
    }
    for name in &names {
        assert!(document.contains(&format!("`{name}`")), "{name} is in no table");
    }
    for named in document.split('`').filter(is_one) {
        assert!(names.iter().any(|name| name.starts_with(named)), "there is no test {named}");
    }
}
