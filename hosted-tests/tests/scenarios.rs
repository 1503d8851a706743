//! The scenarios of TTM's tests and rules (`ttm-semantics.md` §5: 1 to 35, families a to k), each for what it is about;
//! DESIGN.md has the table. Each runs as it is, then while every call of every port fails once, and where a buffer's contents
//! move, while they are stopped at every step.

#[path = "scenarios/card.rs"]
mod card;
#[path = "scenarios/dma.rs"]
mod dma;
#[path = "scenarios/fill.rs"]
mod fill;
#[path = "scenarios/gate.rs"]
mod gate;
#[path = "scenarios/insertion.rs"]
mod insertion;
#[path = "scenarios/interrupts.rs"]
mod interrupts;
#[path = "scenarios/limit.rs"]
mod limit;
#[path = "scenarios/model.rs"]
mod model;
#[path = "scenarios/partly.rs"]
mod partly;
#[path = "scenarios/pool.rs"]
mod pool;
#[path = "scenarios/rig.rs"]
mod rig;
#[path = "scenarios/stops.rs"]
mod stops;
#[path = "scenarios/store.rs"]
mod store;
#[path = "scenarios/swap.rs"]
mod swap;
#[path = "scenarios/swapin.rs"]
mod swapin;
#[path = "scenarios/teardown.rs"]
mod teardown;
#[path = "scenarios/tt.rs"]
mod tt;

/// Rule: the table in DESIGN.md names every scenario, and none that is not there.
#[test]
fn the_table_is_complete() {
    let design = include_str!("../../DESIGN.md");
    let sources = [
        include_str!("scenarios/dma.rs"),
        include_str!("scenarios/fill.rs"),
        include_str!("scenarios/insertion.rs"),
        include_str!("scenarios/interrupts.rs"),
        include_str!("scenarios/limit.rs"),
        include_str!("scenarios/model.rs"),
        include_str!("scenarios/partly.rs"),
        include_str!("scenarios/pool.rs"),
        include_str!("scenarios/store.rs"),
        include_str!("scenarios/swap.rs"),
        include_str!("scenarios/swapin.rs"),
        include_str!("scenarios/teardown.rs"),
        include_str!("scenarios/tt.rs"),
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
        assert!(design.contains(&format!("`{name}`")), "{name} is in no table");
    }
    for named in design.split('`').filter(is_one) {
        assert!(names.iter().any(|name| name.starts_with(named)), "there is no test {named}");
    }
}
