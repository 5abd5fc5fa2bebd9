"""Follow objects through the frames of a sequence: the 2015 release's tracker."""
