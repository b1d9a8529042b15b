# plots.gp - draw the benchmark's plots as PNG and SVG.
#
#   gnuplot -e "data='FOLDER'; out='FOLDER'; note='2 processors, ...'" plots.gp
#
# Data come from the program bench: a file PLOT.SIDE for every line that was measured.  Lines are
# named where they end; colours (Okabe and Ito's) and shapes both tell them apart.

sides  = "poolite echo redis postgres prepared opened"
array title[6] = ["Poolite", "bare echo", "Redis GET", "PostgreSQL, pgbouncer", \
	"SQLite, prepared", "SQLite, opened each time"]
array color[6] = ["#d55e00", "#7f7f7f", "#009e73", "#0072b2", "#cc79a7", "#e69f00"]
array shape[6] = [7, 2, 5, 9, 11, 13]
array thick[6] = [4, 2, 2.5, 2.5, 2.5, 2.5]
array found[6]
array place[6]

font = "DejaVu Sans"
width = 1160
height = 700

name(i) = word(sides, int(i))
file(i) = data . "/" . plot . "." . name(i)
is_there(path) = int(system("test -s '" . path . "' && echo 1 || echo 0"))

# Where each line ends and what all of them span, for labels that do not overlap.
survey = '\
low = 1e300; high = 0; right = 1; shown = ""; \
do for [i = 1:6] { \
	found[i] = is_there(file(i)); \
	if (found[i]) { \
		shown = shown . " " . i; \
		stats file(i) using (low = $2 < low ? $2 : low, high = $2 > high ? $2 : high, right = $1 > right ? $1 : right, last = $2) nooutput; \
		place[i] = last \
	} \
}; \
if (shown ne "") { \
	low = low / 1.5; high = high * 1.5; \
	do for [i = 1:6] { if (found[i]) { place[i] = log10(place[i] / low) / log10(high / low) } }; \
	do for [pass = 1:200] { do for [i = 1:5] { do for [j = i+1:6] { \
		if (found[i] && found[j]) { \
			gap = place[i] - place[j]; \
			if (abs(gap) < 0.05) { \
				push = (0.05 - abs(gap)) / 2; \
				if (gap < 0) { push = -push }; \
				place[i] = place[i] + push; \
				place[j] = place[j] - push \
			} \
		} \
	} } }; \
	unset label; \
	do for [i = 1:6] { if (found[i]) { \
		set label i title[i] at graph 1.015, graph place[i] left textcolor rgb color[i] \
	} } \
}'

set border 3 linecolor rgb "#666666"
set tics nomirror textcolor rgb "#333333"
set grid ytics linecolor rgb "#dddddd" linetype 1
set logscale y
set rmargin 27
set lmargin 12
unset key
set title font font . ",17" offset 0, 0.5

# Both terminals draw the same.
draw = '\
do for [kind in "png svg"] { \
	if (kind eq "png") { \
		set terminal pngcairo size width, height font font . ",13" background rgb "white" \
	} else { \
		set terminal svg size width, height font font . ",13" background rgb "white" \
	}; \
	set output out . "/" . plot . "." . kind; \
	eval lines_of_plot; \
	unset output \
}'

# ---- throughput against the number of clients
set logscale x 2
set xtics (1, 2, 4, 8, 16, 32, 64, 128)
set xlabel "clients, each with one request at a time"
set ytics ("100" 100, "200" 200, "500" 500, "1,000" 1e3, "2,000" 2e3, "5,000" 5e3, "10,000" 1e4, \
	"20,000" 2e4, "50,000" 5e4, "100,000" 1e5, "200,000" 2e5, "500,000" 5e5, "1,000,000" 1e6)
lines_of_plot = 'plot [0.9:right * 1.1][low:high] for [i in shown] file(i) using 1:2:3:4 \
	with yerrorbars linecolor rgb color[int(i)] pointtype -1 linewidth 1, \
	for [i in shown] file(i) using 1:2 \
	with linespoints linecolor rgb color[int(i)] pointtype shape[int(i)] pointsize 1.2 linewidth thick[int(i)]'

plot = "throughput-read"
set title "Point reads a second (higher is better)\n{/*0.75 " . note . "}"
set ylabel "reads a second"
eval survey
if (shown ne "") { eval draw }

plot = "throughput-write"
set title "Durable one-row updates a second (higher is better)\n{/*0.75 " . note . "}"
set ylabel "updates a second"
eval survey
if (shown ne "") { eval draw }

# ---- latency quantiles: the share that took longer, from all to 1 in 10,000
unset logscale x
set logscale x 10
set xrange [1:0.0001] reverse
set xtics ("0 %%" 1, "50 %%" 0.5, "90 %%" 0.1, "99 %%" 0.01, "99.9 %%" 0.001, "99.99 %%" 0.0001)
set xlabel "share of requests that took at most this long"
set ytics ("1 µs" 1, "2" 2, "5" 5, "10 µs" 10, "20" 20, "50" 50, "100 µs" 100, "200" 200, "500" 500, \
	"1 ms" 1e3, "2" 2e3, "5" 5e3, "10 ms" 1e4, "20" 2e4, "50" 5e4, "100 ms" 1e5, "200" 2e5, "500" 5e5, \
	"1 s" 1e6, "2" 2e6, "5" 5e6, "10 s" 1e7)
set ylabel "time until the answer"
set grid xtics
lines_of_plot = 'plot [][low:high] for [i in shown] file(i) using 1:2 \
	with linespoints linecolor rgb color[int(i)] pointtype shape[int(i)] pointsize 1.2 pointinterval 10 linewidth thick[int(i)]'

plot = "latency-read-1"
set title "How long a point read takes, 1 client (lower is better)\n{/*0.75 " . note . "}"
eval survey
if (shown ne "") { eval draw }

plot = "latency-read-32"
set title "How long a point read takes, 32 clients (lower is better)\n{/*0.75 " . note . "}"
eval survey
if (shown ne "") { eval draw }

plot = "latency-write-32"
set title "How long a durable update takes, 32 clients (lower is better)\n{/*0.75 " . note . "}"
eval survey
if (shown ne "") { eval draw }
