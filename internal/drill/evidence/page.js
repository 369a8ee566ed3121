// Shows the numbers below the pointer, or below the arrow keys. The page says the same without it: in tables.
(function () {
  'use strict';
  var data = JSON.parse(document.getElementById('columns').textContent);
  function number(n) { return n >= 100 ? Math.round(n).toLocaleString('en') : String(Math.round(n * 100) / 100); }
  function latency(ms) { return ms < 0 ? 'no call ended' : ms >= 1000 ? number(ms / 1000) + ' s' : number(ms) + ' ms'; }
  function time(s) { return String(Math.round(s * 1000) / 1000); }
  document.querySelectorAll('svg.chart').forEach(function (svg) {
    var series = data.Series[Number(svg.dataset.region)];
    var left = Number(svg.dataset.left), right = Number(svg.dataset.right), width = svg.viewBox.baseVal.width;
    var figure = svg.closest('figure'), cursor = svg.querySelector('.cursor');
    var tip = document.createElement('div');
    var at = -1;
    tip.className = 'tip';
    tip.setAttribute('role', 'status');
    tip.hidden = true;
    figure.appendChild(tip);
    function hide() { tip.hidden = true; cursor.style.visibility = 'hidden'; }
    function show(i) {
      at = Math.max(0, Math.min(data.Count - 1, i));
      var from = at * data.Width, until = from + data.Width;
      var lines = [series.Region + ', ' + time(from) + ' to ' + time(until) + ' s'];
      lines.push('answered ' + number(series.OK[at]) + '/s, failed ' + number(series.Failed[at]) + '/s');
      lines.push('p50 ' + latency(series.P50[at]) + ', p99 ' + latency(series.P99[at]) + ', max ' + latency(series.Max[at]));
      data.Steps.forEach(function (s) {
        if (s.At < until && (s.Until === null ? s.At >= from : s.Until > from)) lines.push(s.Text);
      });
      tip.textContent = lines.join('\n');
      tip.hidden = false;
      var x = left + (at + 0.5) / data.Count * (right - left);
      cursor.setAttribute('x1', x);
      cursor.setAttribute('x2', x);
      cursor.style.visibility = 'visible';
      var box = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
      var place = box.left - outer.left + x / width * box.width + 12;
      if (place + tip.offsetWidth > outer.width) place = Math.max(0, place - tip.offsetWidth - 24);
      tip.style.left = place + 'px';
      tip.style.top = box.top - outer.top + 8 + 'px';
    }
    svg.addEventListener('pointermove', function (e) {
      var box = svg.getBoundingClientRect();
      var x = (e.clientX - box.left) / box.width * width;
      if (x < left || x > right) return hide();
      show(Math.floor((x - left) / (right - left) * data.Count));
    });
    svg.addEventListener('pointerleave', hide);
    svg.addEventListener('blur', hide);
    svg.addEventListener('keydown', function (e) {
      if (e.key === 'ArrowRight') show(at + 1);
      else if (e.key === 'ArrowLeft') show(at < 0 ? data.Count - 1 : at - 1);
      else if (e.key === 'Home') show(0);
      else if (e.key === 'End') show(data.Count - 1);
      else if (e.key === 'Escape') return hide();
      else return;
      e.preventDefault();
    });
  });
})();
