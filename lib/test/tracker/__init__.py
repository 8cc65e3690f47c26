"""Online trackers, each built as Tracker(config, weights, device). Their contracts are in lib/contracts.py."""
