//! When the ends of a connection that has nothing to say are heard of.
//!
//! The node pings first and the controller's Pong is its word, so that an idle connection costs one exchange and not two.
//! The controller pings by itself where it has nothing to answer: a node that sends and is never answered hears of it, too.

use std::time::Duration;

/// How long a node may send nothing until it pings: the heartbeat, or what leaves the controller a third of its patience.
pub fn node_pings_after(heartbeat: Duration, dead: Duration) -> Duration {
    heartbeat.min(dead * 2 / 3)
}

/// How long a controller may send nothing until it pings: later than the node, and well before that gives it up.
pub fn controller_pings_after(heartbeat: Duration, dead: Duration) -> Duration {
    (heartbeat * 5 / 4).min(dead * 3 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_default_a_node_pings_every_five_seconds() {
        let (heartbeat, dead) = (Duration::from_secs(5), Duration::from_secs(15));
        assert_eq!(node_pings_after(heartbeat, dead), heartbeat);
        assert_eq!(controller_pings_after(heartbeat, dead), Duration::from_millis(6250));
    }

    proptest! {
        #[test]
        fn the_node_pings_first_and_both_in_time(heartbeat in 4u64..100_000, more in 1u64..100_000) {
            let (heartbeat, dead) = (Duration::from_millis(heartbeat), Duration::from_millis(heartbeat + more));
            let (node, controller) = (node_pings_after(heartbeat, dead), controller_pings_after(heartbeat, dead));
            prop_assert!(node < controller && controller < dead);
            prop_assert!(node <= heartbeat);
        }
    }
}
