// Package tail reads log files as they grow, through every kind of rotation, and hands over each line once.
//
// A file is known by device and inode while it is open, and a stream (what one application writes into one log) by
// content: see DESIGN.md for how the two are matched, for the poll cycle, and for what cannot be known.
//
//	tailer.go       the loop: what is due, batches, draining
//	scan.go         which files there are
//	recognise.go    which stream a file belongs to
//	follow.go       reading one file
//	longline.go     lines over the limit
//	identity.go     names, ids and comparisons
//	content.go      what a file says, compressed or not
//	archive.go      decompressing at any offset
//	packed.go       which stream an archive belongs to, and reading it
//	reload.go       reading an intent's bytes again
//	reconfigure.go  other files to read, while it runs
//	remove.go       deleting what is done with
//	volume.go       how full the file systems are
//	notify.go       hints from the file system
package tail
