//! The test kit for guests of Runner
